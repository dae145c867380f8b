// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/bisect/search.h"

#include <algorithm>

namespace mmquake::bisect {

Search::Search(const CommitGraph& graph, SearchSettings settings)
    : graph_(graph),
      settings_(std::move(settings)),
      posterior_(graph, settings_.prior),
      tallies_(graph.size()),
      in_row_(graph.size()) {
  kernels_.state.resize(graph.size(), KernelState::kNew);
  look();
}

Plan Search::next() const {
  return plan_.value_or(Plan{graph_.bad_end(), 1, 0, 0});
}

void Search::set_replaying(bool replaying) {
  is_replaying_ = replaying;
  look();
}

void Search::give_up(std::size_t commit, const std::string& reason) {
  kernels_.state[commit] = KernelState::kUntestable;
  tallies_[commit].untestable = reason.empty() ? "skipped" : reason;
}

void Search::take(std::size_t commit, const BuildResult& build) {
  seconds_ += build.seconds;
  if (!settings_.keeps_kernels) {
    std::replace(kernels_.state.begin(), kernels_.state.end(), KernelState::kBuilt,
                 KernelState::kGone);
  }
  if (build.end == BuildEnd::kSkipped) {
    give_up(commit, build.reason);
  } else {
    kernels_.state[commit] = KernelState::kBuilt;
  }
  if (!build.from_cache) {
    // A build that failed has got as far as it got: its time says little.
    if (build.end == BuildEnd::kBuilt) {
      if (kernels_.last) {
        prices_.built_after(build.seconds, distance(graph_, *kernels_.last, commit));
      } else {
        prices_.built_cold(build.seconds);
      }
    }
    kernels_.last = commit;
  }
  look();
}

void Search::take(std::size_t commit, const TrialOutcome& trial) {
  Tally& tally = tallies_[commit];
  ++trials_;
  seconds_ += trial.seconds;
  if (trial.end == TrialEnd::kFound && settings_.signature.empty() && commit == graph_.bad_end()) {
    settings_.signature = trial.signature;
  }
  const bool foreign = trial.end == TrialEnd::kFound && trial.signature != settings_.signature;
  if (trial.end == TrialEnd::kBroken || foreign) {
    const std::uint32_t limit = foreign ? settings_.foreign_limit : settings_.broken_limit;
    if (foreign) ++tally.foreign[trial.signature];
    if (!foreign) ++tally.broken;
    if (++in_row_[commit] >= limit) {
      give_up(commit, foreign ? "shows another bug each time: " + trial.signature : trial.reason);
    }
  } else if (trial.end == TrialEnd::kSkipped) {
    give_up(commit, trial.reason);
  } else {
    in_row_[commit] = 0;
    const bool found = trial.end == TrialEnd::kFound;
    ++(found ? tally.found : tally.passed);
    found ? posterior_.found(commit) : posterior_.passed(commit);
    found ? prices_.found(trial.seconds) : prices_.passed(trial.seconds);
  }
  look();
}

// Where this leaves the search.
void Search::look() {
  if (is_replaying_) return;
  find_groups();
  plan_.reset();
  const std::size_t bad = graph_.bad_end();
  const bool bad_is_testable = kernels_.state[bad] != KernelState::kUntestable;
  const std::uint32_t shown = tallies_[bad].found;
  const bool is_enough = tallies_[bad].passed >= settings_.bad_limit;
  end_ = SearchEnd::kGoesOn;
  if (posterior_.is_contradiction()) {
    end_ = SearchEnd::kContradiction;
  } else if (shown == 0) {
    if (is_enough) end_ = SearchEnd::kNotShown;
    if (!bad_is_testable) end_ = SearchEnd::kBadUntestable;
  } else if (groups_.front().chance >= settings_.confidence) {
    end_ = SearchEnd::kSettled;
  } else if (shown >= settings_.found_first || is_enough || !bad_is_testable) {
    plan_ = plan_next(graph_, posterior_, prices_, kernels_, settings_.aim);
    if (!plan_) end_ = SearchEnd::kNothingLeft;
  }
}

// What tells a candidate from others is which testable commits hold it, and those are what its
// nearest testable commits say: itself, or the first ones on the ways up from it.
void Search::find_groups() {
  std::vector<std::vector<std::size_t>> nearest(graph_.size());
  std::map<std::vector<std::size_t>, Group> groups;
  for (std::size_t at = graph_.size(); at-- > 0;) {
    std::vector<std::size_t>& own = nearest[at];
    if (kernels_.state[at] != KernelState::kUntestable || at == graph_.bad_end()) {
      own = {at};
    } else {
      for (const std::size_t child : graph_.children(at)) {
        own.insert(own.end(), nearest[child].begin(), nearest[child].end());
      }
      std::sort(own.begin(), own.end());
      own.erase(std::unique(own.begin(), own.end()), own.end());
      // One that holds another of them says nothing more.
      std::vector<std::size_t> least;
      for (const std::size_t one : own) {
        const bool is_more = std::any_of(least.begin(), least.end(), [&](std::size_t other) {
          return graph_.holds(one, other);
        });
        if (!is_more) least.push_back(one);
      }
      own = std::move(least);
    }
    if (!posterior_.alive().test(at)) continue;
    Group& group = groups[own];
    group.commits.push_back(at);
    group.chance += posterior_.chances()[at];
  }
  groups_.clear();
  for (auto& [key, group] : groups) {
    std::reverse(group.commits.begin(), group.commits.end());
    groups_.push_back(std::move(group));
  }
  std::stable_sort(groups_.begin(), groups_.end(),
                   [](const Group& a, const Group& b) { return a.chance > b.chance; });
}

}  // namespace mmquake::bisect
