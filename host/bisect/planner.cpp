// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/bisect/planner.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

namespace mmquake::bisect {
namespace {

// Numbers of trials that are considered together.
constexpr std::array<std::uint32_t, 11> kBatches = {1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144};
// Below that a trial is said to tell nothing; what rounding leaves is far smaller.
constexpr double kLeastBits = 1e-9;
// Next to a commit that does not build, a commit builds with the chance 1 - kSpoiled; a break lasts
// for about kBreakLength commits.
constexpr double kSpoiled = 0.6;
constexpr double kBreakLength = 6;

double entropy(double p) {
  if (p <= 0 || p >= 1) return 0;
  return -p * std::log2(p) - (1 - p) * std::log2(1 - p);
}

// Candidates with as many passes behave alike. For each such class and each batch: the chance to
// miss, its entropy, and how many trials are run until one finds, if the commit is bad.
struct Classes {
  std::vector<std::uint32_t> of;  // the class of each candidate
  std::size_t count = 0;
  std::vector<std::array<double, kBatches.size()>> miss, doubt, trials;
};

Classes classes_of(const CommitGraph& graph, const Posterior& posterior) {
  Classes out;
  out.of.resize(graph.size());
  std::map<std::uint32_t, std::uint32_t> index;
  posterior.alive().for_each([&](std::size_t at) {
    const auto [entry, is_new] = index.emplace(posterior.passes(at), index.size());
    out.of[at] = entry->second;
  });
  out.count = index.size();
  out.miss.resize(out.count);
  out.doubt.resize(out.count);
  out.trials.resize(out.count);
  for (const auto& [passes, at] : index) {
    double miss = 1;
    double trials = 0;
    std::uint32_t done = 0;
    for (std::size_t batch = 0; batch < kBatches.size(); ++batch) {
      for (; done < kBatches[batch]; ++done) {
        trials += miss;
        miss *= posterior.miss(passes + done, 1);
      }
      out.miss[at][batch] = miss;
      out.doubt[at][batch] = entropy(miss);
      out.trials[at][batch] = trials;
    }
  }
  return out;
}

// By breadth-first search from the commits of which it is known.
std::vector<double> chances_to_build(const CommitGraph& graph, const Kernels& kernels) {
  std::vector<double> out(graph.size(), 1.0);
  const auto is = [&](std::size_t at, KernelState state) { return kernels.state[at] == state; };
  std::vector<std::size_t> queue;
  std::vector<double> distance(graph.size(), -1);
  std::vector<bool> spoiled(graph.size());
  for (std::size_t at = 0; at < graph.size(); ++at) {
    if (is(at, KernelState::kNew)) continue;
    distance[at] = 0;
    spoiled[at] = is(at, KernelState::kUntestable);
    queue.push_back(at);
  }
  for (std::size_t next = 0; next < queue.size(); ++next) {
    const std::size_t at = queue[next];
    if (spoiled[at]) out[at] = 1 - kSpoiled * std::exp(-distance[at] / kBreakLength);
    const auto reach = [&](std::size_t other) {
      if (distance[other] >= 0) return;
      distance[other] = distance[at] + 1;
      spoiled[other] = spoiled[at];
      queue.push_back(other);
    };
    for (const std::size_t parent : graph.commit(at).parents) reach(parent);
    for (const std::size_t child : graph.children(at)) reach(child);
  }
  for (std::size_t at = 0; at < graph.size(); ++at) {
    if (is(at, KernelState::kBuilt) || is(at, KernelState::kGone)) out[at] = 1;
  }
  return out;
}

// How many commits differ from what was built last, for all commits.
std::vector<double> distances(const CommitGraph& graph, std::size_t last) {
  Bits of_last(graph.size());
  graph.for_each_held(last, [&](std::size_t at) { of_last.set(at); });
  Bits all(graph.size());
  std::vector<std::uint32_t> column(graph.size(), 1);
  for (std::size_t at = 0; at < graph.size(); ++at) {
    all.set(at);
    if (of_last.test(at)) column[at] = 0;
  }
  const std::vector<double> sums =
      graph.sums(all, column, std::vector<double>(graph.size(), 1.0), 2);
  const auto held = static_cast<double>(of_last.count());
  std::vector<double> out(graph.size());
  for (std::size_t at = 0; at < graph.size(); ++at) {
    out[at] = held - sums[2 * at] + sums[2 * at + 1];
  }
  return out;
}

std::vector<double> build_prices(const CommitGraph& graph, const Prices& prices,
                                 const Kernels& kernels) {
  std::vector<double> out(graph.size(), prices.cold());
  if (kernels.last) {
    const std::vector<double> distance = distances(graph, *kernels.last);
    const Prices::Line line = prices.line();
    for (std::size_t at = 0; at < graph.size(); ++at) {
      out[at] = line.at(static_cast<std::size_t>(distance[at]));
    }
  }
  for (std::size_t at = 0; at < graph.size(); ++at) {
    if (kernels.state[at] == KernelState::kBuilt) out[at] = 0;
  }
  return out;
}

// One commit with one number of trials.
struct Offer {
  double bits = 0;
  double seconds = 0;
};

Offer offer_of(const Classes& classes, const double* mass, std::size_t batch,
               const Prices& prices) {
  double bad = 0;
  double found = 0;
  double doubt = 0;
  double trials = 0;
  for (std::size_t c = 0; c < classes.count; ++c) {
    bad += mass[c];
    found += mass[c] * (1 - classes.miss[c][batch]);
    doubt += mass[c] * classes.doubt[c][batch];
    trials += mass[c] * classes.trials[c][batch];
  }
  trials += (1 - bad) * kBatches[batch];
  return {entropy(found) - doubt, trials * prices.pass() + found * (prices.find() - prices.pass())};
}

}  // namespace

std::size_t distance(const CommitGraph& graph, std::size_t a, std::size_t b) {
  Bits of_a(graph.size());
  graph.for_each_held(a, [&](std::size_t at) { of_a.set(at); });
  std::size_t held = of_a.count();
  std::size_t out = 0;
  graph.for_each_held(b, [&](std::size_t at) { of_a.test(at) ? --held : ++out; });
  return held + out;
}

std::optional<Plan> plan_next(const CommitGraph& graph, const Posterior& posterior,
                              const Prices& prices, const Kernels& kernels, Aim aim) {
  const Classes classes = classes_of(graph, posterior);
  const std::vector<double> masses =
      graph.sums(posterior.alive(), classes.of, posterior.chances(), classes.count);
  const std::vector<double> builds = build_prices(graph, prices, kernels);
  const std::vector<double> buildable = chances_to_build(graph, kernels);
  std::optional<Plan> best;
  double best_worth = 0;
  for (std::size_t at = 0; at < graph.size(); ++at) {
    if (kernels.state[at] == KernelState::kUntestable) continue;
    double last_worth = 0;
    for (std::size_t batch = 0; batch < kBatches.size(); ++batch) {
      const Offer offer = offer_of(classes, &masses[at * classes.count], batch, prices);
      if (offer.bits < kLeastBits) break;
      const double seconds = builds[at] + buildable[at] * offer.seconds;
      const double worth = aim == Aim::kBits ? offer.bits : offer.bits * buildable[at] / seconds;
      // The later trials of a batch tell less and less, so it only falls from here.
      if (worth < last_worth) break;
      last_worth = worth;
      if (worth > best_worth) {
        best_worth = worth;
        best = Plan{at, kBatches[batch], offer.bits, builds[at] + offer.seconds};
      }
      if (aim == Aim::kBits) break;
    }
  }
  return best;
}

}  // namespace mmquake::bisect
