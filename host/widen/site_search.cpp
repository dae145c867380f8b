// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/widen/site_search.h"

#include <algorithm>
#include <array>
#include <random>
#include <utility>

namespace mmquake {
namespace {

constexpr double kPriorHits = 0.5;
constexpr double kPriorMisses = 2;
constexpr std::size_t kSecondSites = 8;  // that are tried beside the first
constexpr std::size_t kGroup = 16;       // sites that are delayed at once
constexpr int kHalvings = 5;             // trials of each half before a group is given up
constexpr std::size_t kFinders = 4;      // sites that the search chooses among
// Of 1.5 ms in the mean, in a trial, of all sites together: about what four CPUs have time for.
constexpr double kDelays = 2400;

double draw_chance(const SiteArm& arm, std::mt19937_64& random) {
  const auto hits = static_cast<double>(arm.hits);
  const auto misses = static_cast<double>(arm.trials - arm.hits);
  const double a = std::gamma_distribution<double>(kPriorHits + hits)(random);
  const double b = std::gamma_distribution<double>(kPriorMisses + misses)(random);
  return a / (a + b);
}

// Of those that can be tried; nullptr: none.
SiteArm* drawn_best(std::vector<SiteArm>& arms, const SiteArm* but, std::mt19937_64& random) {
  SiteArm* best = nullptr;
  double highest = -1;
  for (SiteArm& arm : arms) {
    if (arm.cannot || &arm == but) continue;
    const double chance = draw_chance(arm, random);
    if (chance > highest) {
      highest = chance;
      best = &arm;
    }
  }
  return best;
}

// One of `together` sites.
WidenSite delayed(const SiteSeen& seen, std::size_t together) {
  WidenSite site;
  site.site = seen.function;
  site.min_us = 0;
  site.max_us = 3000;
  const double share = kDelays / static_cast<double>(together);
  site.probability =
      seen.calls == 0 ? 0.3 : std::clamp(share / static_cast<double>(seen.calls), 0.001, 0.3);
  return site;
}

SiteArm group_of(const std::vector<SiteSeen>& sites) {
  SiteArm out;
  for (const SiteSeen& seen : sites) out.sites.push_back(delayed(seen, sites.size()));
  return out;
}

SiteArm with_site(const SiteArm& arm, WidenSite site) {
  SiteArm out;
  out.sites = arm.sites;
  out.sites.push_back(std::move(site));
  return out;
}

// From a rare long wait to a short one that everybody takes.
std::vector<SiteArm> other_delays(const SiteArm& arm) {
  std::vector<SiteArm> out{arm};
  struct Delay {
    std::uint64_t min_us, max_us;
    double probability;
  };
  for (const auto& [min_us, max_us, probability] :
       {Delay{0, 200, 0.5}, Delay{0, 1000, 1}, Delay{0, 10000, 0.1}, Delay{0, 10000, 0.7},
        Delay{5000, 30000, 0.3}}) {
    SiteArm other;
    other.sites = arm.sites;
    other.sites.back().min_us = min_us;
    other.sites.back().max_us = max_us;
    other.sites.back().probability = probability;
    out.push_back(std::move(other));
  }
  return out;
}

// Those of other sides come first.
std::vector<SiteArm> with_a_second(const SiteArm& arm, const std::vector<SiteSeen>& sites) {
  const std::string& first = arm.sites.front().site;
  const auto own = std::find_if(sites.begin(), sites.end(),
                                [&](const SiteSeen& seen) { return seen.function == first; });
  std::vector<SiteSeen> others;
  std::copy_if(sites.begin(), sites.end(), std::back_inserter(others),
               [&](const SiteSeen& seen) { return seen.function != first; });
  std::stable_partition(others.begin(), others.end(), [&](const SiteSeen& seen) {
    return own == sites.end() || seen.side != own->side;
  });
  others.resize(std::min(others.size(), kSecondSites));
  std::vector<SiteArm> out{arm};
  for (const SiteSeen& seen : others) {
    out.push_back(with_site(arm, delayed(seen, 1)));
  }
  return out;
}

}  // namespace

double SiteArm::expected() const {
  return (kPriorHits + static_cast<double>(hits)) /
         (kPriorHits + kPriorMisses + static_cast<double>(trials));
}

Result<std::vector<SiteArm>> best_arms(std::vector<SiteArm> arms, std::uint64_t trials,
                                       std::uint64_t seed, const TrySites& run,
                                       const std::function<void(const SiteArm&)>& told) {
  std::mt19937_64 random(seed);
  for (std::uint64_t trial = 0; trial < trials; ++trial) {
    SiteArm* arm = drawn_best(arms, nullptr, random);
    if (arm == nullptr) break;
    if (random() % 2 != 0) {
      SiteArm* second = drawn_best(arms, arm, random);
      arm = second == nullptr ? arm : second;
    }
    auto seen = run(arm->sites);
    if (!seen) return tl::make_unexpected(seen.error());
    if (seen->says == Glimpse::Says::kCannot) {
      arm->cannot = true;
    } else {
      ++arm->trials;
      arm->hits += seen->says == Glimpse::Says::kFound ? 1 : 0;
    }
    told(*arm);
  }
  std::stable_sort(arms.begin(), arms.end(), [](const SiteArm& a, const SiteArm& b) {
    return std::pair(a.cannot, -a.expected()) < std::pair(b.cannot, -b.expected());
  });
  return arms;
}

namespace {

// Groups that find, and their halves that do.
class GroupSearch {
 public:
  GroupSearch(const SiteSearch& search, const TrySites& run,
              const std::function<void(const SiteArm&)>& told)
      : sites_(search.sites), left_(search.trials), random_(search.seed), run_(run), told_(told) {}

  // Goes on until `most` are found or no trial is left.
  Result<> search(std::size_t most) {
    while (left_ > 0 && found_.size() < most && !sites_.empty()) {
      std::shuffle(sites_.begin(), sites_.end(), random_);
      for (std::size_t at = 0; at < sites_.size() && found_.size() < most; at += kGroup) {
        const auto first = sites_.begin() + static_cast<std::ptrdiff_t>(at);
        const auto count = std::min(kGroup, sites_.size() - at);
        const std::vector<SiteSeen> group(first, first + static_cast<std::ptrdiff_t>(count));
        auto finds = tried(group_of(group));
        if (!finds) return tl::make_unexpected(finds.error());
        if (!*finds) continue;
        if (auto done = halve(group); !done) return done;
      }
    }
    return {};
  }
  std::vector<SiteArm> found() { return std::move(found_); }

 private:
  // Whether this trial found. Without trials: no.
  Result<bool> tried(SiteArm arm) {
    if (left_ == 0) return false;
    --left_;
    auto seen = run_(arm.sites);
    if (!seen) return tl::make_unexpected(seen.error());
    const bool finds = seen->says == Glimpse::Says::kFound;
    arm.trials = 1;
    arm.hits = finds ? 1 : 0;
    told_(arm);
    return finds;
  }

  Result<> halve(std::vector<SiteSeen> group) {
    while (group.size() > 1) {
      const auto middle = group.begin() + static_cast<std::ptrdiff_t>(group.size() / 2);
      const Halves halves{std::vector<SiteSeen>(group.begin(), middle),
                          std::vector<SiteSeen>(middle, group.end())};
      auto better = better_half(halves);
      if (!better) return tl::make_unexpected(better.error());
      if (*better == nullptr) return {};  // it was chance, or takes sites of both
      group = **better;
    }
    SiteArm finder = group_of(group);
    const bool is_new = std::none_of(found_.begin(), found_.end(), [&](const SiteArm& one) {
      return one.sites.front().site == finder.sites.front().site;
    });
    if (is_new) found_.push_back(std::move(finder));
    return {};
  }

  using Halves = std::array<std::vector<SiteSeen>, 2>;
  // The first of the two that finds, by turns; nullptr: neither does.
  Result<const std::vector<SiteSeen>*> better_half(const Halves& halves) {
    for (int turn = 0; turn < kHalvings; ++turn) {
      for (const std::vector<SiteSeen>& half : halves) {
        auto finds = tried(group_of(half));
        if (!finds) return tl::make_unexpected(finds.error());
        if (*finds) return &half;
      }
    }
    return nullptr;
  }

  std::vector<SiteSeen> sites_;
  std::uint64_t left_;
  std::mt19937_64 random_;
  const TrySites& run_;
  const std::function<void(const SiteArm&)>& told_;
  std::vector<SiteArm> found_;
};

}  // namespace

Result<std::vector<SiteArm>> sites_that_find(const SiteSearch& search, std::size_t most,
                                             const TrySites& run,
                                             const std::function<void(const SiteArm&)>& told) {
  GroupSearch groups(search, run, told);
  if (auto done = groups.search(most); !done) return tl::make_unexpected(done.error());
  return groups.found();
}

Result<SiteArm> search_sites(const SiteSearch& search, const TrySites& run,
                             const std::function<void(const SiteArm&)>& told) {
  SiteSearch first = search;
  first.trials = search.trials / 2;
  auto arms = sites_that_find(first, kFinders, run, told);
  if (!arms) return tl::make_unexpected(arms.error());
  SiteArm best;
  if (arms->empty()) return best;
  std::uint64_t seed = search.seed;
  const auto step = [&](std::vector<SiteArm> choices) -> Result<> {
    auto sorted = best_arms(std::move(choices), search.trials / 6, ++seed, run, told);
    if (!sorted) return tl::make_unexpected(sorted.error());
    best = sorted->front();
    return {};
  };
  arms->push_back(best);
  if (auto done = step(std::move(*arms)); !done) return tl::make_unexpected(done.error());
  if (best.sites.empty()) return best;
  if (auto done = step(other_delays(best)); !done) return tl::make_unexpected(done.error());
  if (auto done = step(with_a_second(best, search.sites)); !done) {
    return tl::make_unexpected(done.error());
  }
  return best;
}

}  // namespace mmquake
