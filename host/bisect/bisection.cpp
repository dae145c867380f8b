// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/bisect/bisection.h"

#include <fmt/format.h>

#include <unordered_map>

#include "host/bisect/answer.h"
#include "host/campaign/schedule.h"

namespace mmquake::bisect {

Bisection::Bisection(const CommitGraph& graph, SearchSettings settings, Journal& journal,
                     KernelTester& tester, BisectionListener& listener)
    : search_(graph, std::move(settings)), journal_(journal), tester_(tester), listener_(listener) {
  std::unordered_map<std::string, std::size_t> index;
  for (std::size_t at = 0; at < graph.size(); ++at) index.emplace(graph.commit(at).id, at);
  search_.set_replaying(true);
  for (const Record& record : journal.records()) {
    if (const auto* build = std::get_if<BuildRecord>(&record)) {
      if (const auto at = index.find(build->commit); at != index.end()) {
        search_.take(at->second, build->result);
      }
    } else if (const auto* trial = std::get_if<TrialRecord>(&record)) {
      if (const auto at = index.find(trial->commit); at != index.end()) {
        search_.take(at->second, trial->outcome);
      }
    }
  }
  search_.set_replaying(false);
}

Result<Stop> Bisection::run(std::uint32_t max_trials, const std::function<bool()>& should_stop) {
  while (search_.end() == SearchEnd::kGoesOn) {
    if (should_stop()) return Stop::kInterrupted;
    if (max_trials > 0 && search_.trials() >= max_trials) return Stop::kTrials;
    const Plan plan = search_.next();
    const bool is_there =
        search_.is_built(plan.commit) && tester_.is_ready(search_.graph().commit(plan.commit));
    const auto done = is_there ? trial(plan) : build(plan);
    // What a stop has cut short is no result.
    if (!done && should_stop()) return Stop::kInterrupted;
    if (!done) return tl::make_unexpected(done.error());
  }
  return Stop::kEnded;
}

Result<> Bisection::build(const Plan& plan) {
  const Commit& commit = search_.graph().commit(plan.commit);
  const std::string what = "build " + commit_text(commit);
  listener_.on_status(what);
  auto built = tester_.build(
      commit, [&](const std::string& text) { listener_.on_status(what + ": " + text); });
  if (!built) return context("build " + commit.id.substr(0, 12), built.error());
  if (auto written = journal_.append(BuildRecord{commit.id, *built}); !written) return written;
  search_.take(plan.commit, *built);
  listener_.on_build(plan.commit, *built);
  return {};
}

Result<> Bisection::trial(const Plan& plan) {
  const Commit& commit = search_.graph().commit(plan.commit);
  const std::uint32_t number = search_.trials() + 1;
  const std::string what = fmt::format("trial {} on {}", number, commit_text(commit));
  const std::uint64_t seed = trial_seed(question_of(journal_.records()).seed, number);
  listener_.on_status(what);
  auto ended = tester_.trial(commit, number, seed, [&](const std::string& text) {
    listener_.on_status(what + ": " + text);
  });
  if (!ended) return context(fmt::format("trial on {}", commit.id.substr(0, 12)), ended.error());
  if (auto written = journal_.append(TrialRecord{commit.id, seed, *ended}); !written) {
    return written;
  }
  search_.take(plan.commit, *ended);
  listener_.on_trial(plan.commit, *ended);
  return {};
}

}  // namespace mmquake::bisect
