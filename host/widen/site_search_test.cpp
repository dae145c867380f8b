// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/widen/site_search.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace mmquake {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Says = Glimpse::Says;

std::vector<std::string> names(const std::vector<SiteSeen>& sites) {
  std::vector<std::string> out;
  out.reserve(sites.size());
  for (const SiteSeen& seen : sites) out.push_back(seen.side + ": " + seen.function);
  return out;
}

TEST(SitesSeen, AreTakenFromEachSideByTurns) {
  const std::vector<NamedStack> stacks{
      {"folio_copy", "migrate_pages", "__x64_sys_move_pages", "x64_sys_call", "do_syscall_64",
       "entry_SYSCALL_64_after_hwframe"},
      {"remap", "migrate_pages", "__x64_sys_move_pages", "do_syscall_64"},
      {"migrate_pages", "__x64_sys_move_pages", "do_syscall_64"},
      {"handle_userfault", "exc_page_fault", "asm_exc_page_fault"},
      {"handle_userfault", "exc_page_fault", "asm_exc_page_fault"},
  };
  EXPECT_THAT(names(sites_seen(stacks, 5)),
              ElementsAre("__x64_sys_move_pages: migrate_pages", "exc_page_fault: handle_userfault",
                          "__x64_sys_move_pages: __x64_sys_move_pages",
                          "exc_page_fault: exc_page_fault", "__x64_sys_move_pages: folio_copy"));
  EXPECT_EQ(sites_seen(stacks, 100).size(), 6U);
}

TEST(SitesSeen, ARareSideIsLeftOut) {
  std::vector<NamedStack> stacks(40, {"zap", "__x64_sys_munmap", "do_syscall_64"});
  stacks.push_back({"vfs_read", "__x64_sys_read", "do_syscall_64"});
  EXPECT_EQ(sites_seen(stacks, 100).size(), 2U);
}

TEST(SitesSeen, WhoIdlesSleepsOrIsInterruptedSaysNothingOfTheRace) {
  const std::vector<NamedStack> stacks{
      {"default_idle", "do_idle", "cpu_startup_entry"},
      {"__schedule", "schedule", "handle_userfault", "exc_page_fault", "asm_exc_page_fault"},
      {"tick", "sysvec_apic_timer_interrupt", "asm_sysvec_apic_timer_interrupt", "zap", "exit_mmap",
       "do_syscall_64"},
      {"futex_wake", "__x64_sys_futex", "do_syscall_64"},
      {"_raw_spin_lock", "exc_page_fault", "asm_exc_page_fault"},
      {"", "", "unknown"},
      {},
  };
  EXPECT_THAT(names(sites_seen(stacks, 100)),
              testing::UnorderedElementsAre("exc_page_fault: handle_userfault",
                                            "exc_page_fault: exc_page_fault", "exit_mmap: zap",
                                            "exit_mmap: exit_mmap", "unknown: unknown"));
}

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
    for (const WidenSite& site : sites) {
      if (site.site == impossible) return Glimpse{Says::kCannot, 0};
    }
    const bool found = std::uniform_real_distribution<double>()(random_) < chance(sites);
    return Glimpse{found ? Says::kFound : Says::kNotFound, 1};
  }

 private:
  std::mt19937_64 random_;
};

SiteSearch search_of(std::uint64_t seed) {
  SiteSearch out;
  for (int i = 0; i < 24; ++i) {
    out.sites.push_back({"f" + std::to_string(i), i % 2 == 0 ? "mover" : "faulter", 10});
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

TEST(SearchSites, WhatCannotBeProbedIsTriedOnce) {
  MadeUpRace race(5);
  race.impossible = "f3";
  SiteSearch search = search_of(5);
  search.sites = {{"f3", "mover", 10}};
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
