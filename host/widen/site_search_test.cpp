// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/widen/site_search.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace mmquake {
namespace {

using ::testing::IsEmpty;
using Says = Glimpse::Says;

// A bug whose chance depends on where somebody is held up.
class MadeUpRace {
 public:
  explicit MadeUpRace(std::uint64_t seed) : random_(seed) {}
  std::map<std::string, double> chances;  // of a site alone; the best one counts
  double base = 0.02;
  std::string helper;  // doubles the chance of what is beside it
  std::string impossible;
  int trials = 0;

  double chance(const std::vector<WidenSite>& sites) const {
    double out = base;
    double factor = 1;
    for (const WidenSite& site : sites) {
      const auto found = chances.find(site.site);
      if (found != chances.end()) {
        out = std::max(out, found->second * (site.max_us >= 10000 ? 1.0 : 0.7));
      }
      if (site.site == helper) factor = 2;
    }
    return std::min(1.0, out * factor);
  }
  Result<Glimpse> run(const std::vector<WidenSite>& sites) {
    ++trials;
    // Where nobody comes by is no fault while there are other sites.
    if (sites.size() == 1 && sites.front().site == impossible) return Glimpse{Says::kCannot, 0};
    const bool found = std::uniform_real_distribution<double>()(random_) < chance(sites);
    return Glimpse{found ? Says::kFound : Says::kNotFound, 1};
  }

 private:
  std::mt19937_64 random_;
};

SiteSearch search_of(std::uint64_t seed) {
  SiteSearch out;
  for (int i = 0; i < 256; ++i) {
    out.sites.push_back({.function = "f" + std::to_string(i),
                         .side = i % 2 == 0 ? "mover" : "faulter",
                         .calls = 1000});
  }
  out.seed = seed;
  return out;
}

Result<SiteArm> searched(MadeUpRace& race, const SiteSearch& search) {
  return search_sites(
      search, [&](const std::vector<WidenSite>& sites) { return race.run(sites); },
      [](const SiteArm&) {});
}

TEST(SearchSites, MostlyEndsWithASiteThatMattersAndNeverWithMoreTrials) {
  int good = 0;
  double chance = 0;
  constexpr int kSearches = 300;
  for (std::uint64_t seed = 1; seed <= kSearches; ++seed) {
    MadeUpRace race(seed * 7919);
    race.chances = {{"f5", 0.8}, {"f10", 0.3}};
    race.helper = "f12";
    race.impossible = "f0";
    SiteSearch search = search_of(seed);
    search.trials = 160;
    const auto best = searched(race, search);
    ASSERT_TRUE(best);
    EXPECT_LE(race.trials, 160);
    EXPECT_FALSE(best->cannot);
    good += race.chance(best->sites) >= 0.5 ? 1 : 0;
    chance += race.chance(best->sites) / kSearches;
  }
  EXPECT_GE(good, kSearches * 8 / 10);
  EXPECT_GE(chance, 0.6) << "without a site it is 0.02";
}

TEST(SearchSites, WhereNothingMattersItClaimsNoSureThing) {
  MadeUpRace race(5);
  race.base = 0;
  const auto best = searched(race, search_of(5));
  ASSERT_TRUE(best);
  EXPECT_EQ(best->hits, 0U);
}

TEST(SearchSites, WhatCannotBeProbedIsNoAnswer) {
  MadeUpRace race(5);
  race.impossible = "f3";
  SiteSearch search = search_of(5);
  search.sites = {{.function = "f3", .side = "mover"}};
  search.trials = 40;
  const auto best = searched(race, search);
  ASSERT_TRUE(best);
  EXPECT_THAT(best->sites, IsEmpty());
}

TEST(BestArms, AnErrorEndsTheSearch) {
  const auto best = best_arms(
      {SiteArm{}}, 5, 1,
      [](const std::vector<WidenSite>&) -> Result<Glimpse> { return broken("no VM"); },
      [](const SiteArm&) {});
  ASSERT_FALSE(best);
  EXPECT_EQ(best.error().message, "no VM");
}

}  // namespace
}  // namespace mmquake
