// SPDX-License-Identifier: GPL-2.0-or-later
#include "workloads/migration/accounting.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mmquake {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

HugetlbLedger ledger(HugetlbCounts whole, HugetlbCounts node0, HugetlbCounts node1) {
  return {whole, {{0, node0}, {1, node1}}};
}

const HugetlbLedger kBefore = ledger({40, 40, 0, 0}, {20, 20, 0, 0}, {20, 20, 0, 0});

TEST(HugetlbMismatch, WhatIsMappedAddsUp) {
  EXPECT_FALSE(hugetlb_mismatch(kBefore, kBefore, {}));
  EXPECT_FALSE(hugetlb_mismatch(kBefore, ledger({40, 32, 0, 0}, {20, 15, 0, 0}, {20, 17, 0, 0}),
                                {{0, 5}, {1, 3}}));
}

// A page that was allocated for its migration stays, and the old one leaves the pool.
TEST(HugetlbMismatch, PagesMayChangeTheNodeOfThePool) {
  EXPECT_FALSE(hugetlb_mismatch(kBefore, ledger({40, 32, 0, 0}, {19, 14, 0, 0}, {21, 18, 0, 0}),
                                {{0, 5}, {1, 3}}));
}

TEST(HugetlbMismatch, SaysWhatIsWrong) {
  const std::map<int, std::uint64_t> mine{{0, 5}, {1, 3}};
  const auto wrong = [&](const HugetlbLedger& now) {
    return hugetlb_mismatch(kBefore, now, mine).value_or("");
  };
  EXPECT_THAT(wrong(ledger({40, 31, 0, 0}, {20, 15, 0, 0}, {20, 16, 0, 0})),
              HasSubstr("free pages and mapped pages"));
  EXPECT_THAT(wrong(ledger({41, 33, 0, 0}, {20, 15, 0, 0}, {21, 18, 0, 0})),
              HasSubstr("another size"));
  EXPECT_THAT(wrong(ledger({40, 32, 0, 1}, {20, 15, 0, 0}, {20, 17, 0, 1})),
              HasSubstr("another size"));
  EXPECT_THAT(wrong(ledger({40, 32, 1, 0}, {20, 15, 0, 0}, {20, 17, 0, 0})),
              HasSubstr("reservation"));
  EXPECT_THAT(wrong(ledger({40, 32, 0, 0}, {20, 14, 0, 0}, {20, 18, 0, 0})),
              HasSubstr("node 0 counts 6 pages in use, and 5 are mapped"));
}

TEST(IsolatedLeft, NamesTheCount) {
  EXPECT_FALSE(isolated_left({{"nr_isolated_anon", 0}, {"nr_isolated_file", 0}}, {}));
  EXPECT_EQ(isolated_left({{"nr_isolated_anon", 0}, {"nr_isolated_file", 512}}, {}),
            "nr_isolated_file is 512");
  EXPECT_EQ(isolated_left({}, {"vmstat_refresh: nr_isolated_anon -3"}),
            "below zero: vmstat_refresh: nr_isolated_anon -3");
}

TEST(MigrationsNotCounted, ComparesWithBothCounts) {
  const KernelCounters before{{"pgmigrate_success", 100}, {"thp_migration_success", 10}};
  const KernelCounters after{{"pgmigrate_success", 616}, {"thp_migration_success", 11}};
  EXPECT_FALSE(migrations_not_counted(before, after, 5, 1));
  EXPECT_FALSE(migrations_not_counted(before, before, 0, 0));
  EXPECT_THAT(migrations_not_counted(before, after, 517, 1).value_or(""),
              HasSubstr("pgmigrate_success +516"));
  EXPECT_THAT(migrations_not_counted(before, after, 5, 2).value_or(""),
              HasSubstr("moved 5 pages, 2 of them huge; pgmigrate_success +516, "
                        "thp_migration_success +1"));
}

TEST(WrongUntil, GivesACountTimeToSettle) {
  int looks = 0;
  const auto settles = [&]() -> Result<std::optional<std::string>> {
    return ++looks < 4 ? std::optional<std::string>("not yet") : std::nullopt;
  };
  auto wrong = wrong_until(Clock::now() + std::chrono::seconds(20), settles);
  ASSERT_TRUE(wrong);
  EXPECT_FALSE(*wrong);
  EXPECT_EQ(looks, 4);
}

TEST(WrongUntil, StaysWrongAtTheDeadline) {
  const auto never = []() -> Result<std::optional<std::string>> { return "still wrong"; };
  auto wrong = wrong_until(Clock::now() + milliseconds(20), never);
  ASSERT_TRUE(wrong);
  EXPECT_EQ(*wrong, "still wrong");
}

TEST(WrongUntil, AnErrorEndsIt) {
  const auto fails = []() -> Result<std::optional<std::string>> { return broken("no file"); };
  auto wrong = wrong_until(Clock::now() + std::chrono::hours(1), fails);
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().message, "no file");
}

TEST(KernelLog, ReadsOnlyWhatIsNew) {
  auto log = KernelLog::open();
  if (!log) GTEST_SKIP() << log.error().message;
  EXPECT_TRUE(log->lines_with("mmquake-never-logged").empty());
}

}  // namespace
}  // namespace mmquake
