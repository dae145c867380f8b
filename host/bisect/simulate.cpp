// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/bisect/simulate.h"

#include <algorithm>
#include <cmath>
#include <random>

namespace mmquake::bisect {
namespace {

using Random = std::mt19937_64;

double uniform(Random& random) {
  return std::uniform_real_distribution<double>(0, 1)(random);
}

std::size_t below(Random& random, std::size_t limit) {
  return std::uniform_int_distribution<std::size_t>(0, limit - 1)(random);
}

// Seconds, as measured with a small kernel under TCG on two cores.
constexpr double kColdBuild = 228;
constexpr double kLeastBuild = 20;
constexpr double kCommitsToCold = 300;  // the builds after so many commits are two thirds cold
constexpr double kBoot = 4;
constexpr double kTrial = 20;

// Its builds grow in another way than Prices thinks.
class World {
 public:
  World(const History& history, std::uint64_t seed)
      : history_(history), random_(seed), built_(history.graph.size()) {}

  BuildResult build(std::size_t commit) {
    BuildResult out;
    if (built_[commit]) {
      out.from_cache = true;
      return out;
    }
    out.seconds = kColdBuild;
    if (last_) {
      const auto commits = static_cast<double>(distance(history_.graph, *last_, commit));
      out.seconds =
          kLeastBuild + (kColdBuild - kLeastBuild) * (1 - std::exp(-commits / kCommitsToCold));
    }
    out.seconds *= 0.8 + 0.4 * uniform(random_);
    last_ = commit;
    if (history_.untestable[commit]) {
      out.end = BuildEnd::kSkipped;
      out.seconds /= 2;
    } else {
      built_[commit] = true;
      ++builds_;
    }
    return out;
  }

  TrialOutcome trial(std::size_t commit) {
    TrialOutcome out;
    out.seconds = kBoot + kTrial;
    const bool is_bad = history_.graph.holds(commit, history_.culprit);
    if (is_bad && uniform(random_) < history_.rate) {
      out.end = TrialEnd::kFound;
      out.signature = "bug";
      out.seconds = kBoot + kTrial * uniform(random_);
    }
    return out;
  }

  std::uint32_t builds() const { return builds_; }

 private:
  const History& history_;
  Random random_;
  std::vector<bool> built_;
  std::optional<std::size_t> last_;
  std::uint32_t builds_ = 0;
};

// Branches grow side by side, start anywhere in what is young, and end in merges.
std::vector<Commit> random_commits(Random& random, std::size_t count) {
  std::vector<Commit> commits(count);
  std::vector<std::size_t> tips;
  for (std::size_t at = 0; at < count; ++at) {
    std::vector<std::size_t>& parents = commits[at].parents;
    const std::size_t left = count - at;
    const double dice = uniform(random);
    if (tips.size() > 1 && (left <= tips.size() - 1 || dice < 0.12)) {
      for (int i = 0; i < 2; ++i) {
        const std::size_t tip = left == 1 ? 0 : below(random, tips.size());
        parents.push_back(tips[tip]);
        tips.erase(tips.begin() + static_cast<std::ptrdiff_t>(tip));
      }
    } else if (tips.empty() || (dice > 0.9 && left > tips.size() + 2)) {
      // From before the good end, or from a commit that others go on from, too.
      if (!tips.empty() && uniform(random) < 0.7) {
        parents.push_back(at - 1 - below(random, std::min<std::size_t>(at, 50)));
        std::erase(tips, parents[0]);
      }
    } else {
      const std::size_t tip = below(random, tips.size());
      parents.push_back(tips[tip]);
      tips.erase(tips.begin() + static_cast<std::ptrdiff_t>(tip));
    }
    tips.push_back(at);
  }
  return commits;
}

// Runs of commits that do not build: a break, and its mending some commits later.
std::vector<bool> random_breaks(Random& random, const CommitGraph& graph) {
  std::vector<bool> out(graph.size());
  const double share = 0.15 * uniform(random);
  for (std::size_t at = 0; at < graph.size(); ++at) {
    if (uniform(random) > share / 4) continue;
    std::size_t broken = at;
    for (std::size_t i = 0; i < 4; ++i) {
      out[broken] = true;
      if (graph.children(broken).empty()) break;
      broken = graph.children(broken)[0];
    }
  }
  out[graph.bad_end()] = false;
  return out;
}

}  // namespace

History random_history(std::uint64_t seed, double rate, std::size_t commits) {
  Random random(seed);
  if (commits == 0) commits = static_cast<std::size_t>(20 * std::pow(100, uniform(random)));
  History out{CommitGraph(random_commits(random, commits)), 0, {}, rate};
  out.culprit = below(random, commits);
  out.untestable = random_breaks(random, out.graph);
  return out;
}

Outcome simulate(const History& history, const SearchSettings& settings, std::uint64_t seed) {
  World world(history, seed);
  Search search(history.graph, settings);
  while (search.end() == SearchEnd::kGoesOn) {
    const std::size_t commit = search.next().commit;
    if (search.is_built(commit)) {
      search.take(commit, world.trial(commit));
    } else {
      search.take(commit, world.build(commit));
    }
  }
  Outcome out;
  out.trials = search.trials();
  out.builds = world.builds();
  out.seconds = search.seconds();
  if (search.end() != SearchEnd::kSettled) return out;
  const std::vector<std::size_t>& answer = search.groups().front().commits;
  out.answer = answer.size();
  out.right = std::find(answer.begin(), answer.end(), history.culprit) != answer.end();
  return out;
}

namespace {

// The testable candidate that splits the others best; nullopt: only the bad end is left, or there
// are only commits that do not build.
std::optional<std::size_t> halfway(const CommitGraph& graph, const Bits& alive,
                                   const std::vector<bool>& skipped, std::size_t bad) {
  const std::vector<double> sums = graph.sums(alive, std::vector<std::uint32_t>(graph.size(), 0),
                                              std::vector<double>(graph.size(), 1.0), 1);
  const auto all = static_cast<double>(alive.count());
  std::optional<std::size_t> best;
  double best_split = 0;
  alive.for_each([&](std::size_t at) {
    const double split = std::min(sums[at], all - sums[at]);
    if (at == bad || skipped[at] || split <= best_split) return;
    best_split = split;
    best = at;
  });
  return best;
}

}  // namespace

Outcome simulate_git_bisect(const History& history, std::uint32_t repeats, std::uint64_t seed) {
  const CommitGraph& graph = history.graph;
  World world(history, seed);
  Bits alive(graph.size());
  for (std::size_t at = 0; at < graph.size(); ++at) alive.set(at);
  std::vector<bool> skipped(graph.size());
  std::size_t bad = graph.bad_end();
  Outcome out;
  while (const auto at = halfway(graph, alive, skipped, bad)) {
    const BuildResult built = world.build(*at);
    out.seconds += built.seconds;
    if (built.end == BuildEnd::kSkipped) {
      skipped[*at] = true;
      continue;
    }
    bool found = false;
    for (std::uint32_t i = 0; i < repeats && !found; ++i) {
      const TrialOutcome trial = world.trial(*at);
      ++out.trials;
      out.seconds += trial.seconds;
      found = trial.end == TrialEnd::kFound;
    }
    Bits held(graph.size());
    graph.for_each_held(*at, [&](std::size_t one) { held.set(one); });
    if (found) {
      alive &= held;
      bad = *at;
    } else {
      held.for_each([&](std::size_t one) { alive.reset(one); });
    }
  }
  out.builds = world.builds();
  out.answer = alive.count();
  out.right = alive.test(history.culprit);
  return out;
}

}  // namespace mmquake::bisect
