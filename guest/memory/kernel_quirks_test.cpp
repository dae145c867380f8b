// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/memory/kernel_quirks.h"

#include <gtest/gtest.h>

namespace mmquake {
namespace {

TEST(KernelQuirks, ThreadsKeepCountsBefore62) {
  EXPECT_TRUE(threads_keep_counts("6.1.192"));
  EXPECT_TRUE(threads_keep_counts("5.10.0-32-cloud-amd64"));
  EXPECT_FALSE(threads_keep_counts("6.2.0"));
  EXPECT_FALSE(threads_keep_counts("6.12.117+deb13"));
  EXPECT_FALSE(threads_keep_counts("7.3-rc1"));
}

TEST(KernelQuirks, SmapsMissesHintingPmdsFrom61To64) {
  EXPECT_FALSE(smaps_misses_hinting_pmds("6.0.19"));
  EXPECT_TRUE(smaps_misses_hinting_pmds("6.1.192"));
  EXPECT_TRUE(smaps_misses_hinting_pmds("6.4.0"));
  EXPECT_FALSE(smaps_misses_hinting_pmds("6.5.1"));
  EXPECT_FALSE(smaps_misses_hinting_pmds("6.12.117+deb13"));
}

TEST(KernelQuirks, UffdWpMissesHugeFilesBefore65) {
  EXPECT_TRUE(uffd_wp_misses_huge_files("6.1.192"));
  EXPECT_TRUE(uffd_wp_misses_huge_files("6.4.16"));
  EXPECT_FALSE(uffd_wp_misses_huge_files("6.5.0"));
  EXPECT_FALSE(uffd_wp_misses_huge_files("6.12.117+deb13"));
}

TEST(KernelQuirks, ZoneStartMovesUnlockedSince514) {
  EXPECT_FALSE(zone_start_moves_unlocked("5.10.0-32-cloud-amd64"));
  EXPECT_TRUE(zone_start_moves_unlocked("5.14.0"));
  EXPECT_TRUE(zone_start_moves_unlocked("6.1.192"));
  EXPECT_TRUE(zone_start_moves_unlocked("6.12.117+deb13"));
}

TEST(KernelQuirks, HmmDeadlocksInHugetlbHolesSince63) {
  EXPECT_FALSE(hmm_deadlocks_in_hugetlb_holes("6.1.192"));
  EXPECT_TRUE(hmm_deadlocks_in_hugetlb_holes("6.3.0"));
  EXPECT_TRUE(hmm_deadlocks_in_hugetlb_holes("6.12.117+deb13"));
}

TEST(KernelQuirks, OfAnUnknownKernelNothingIsExpected) {
  EXPECT_TRUE(threads_keep_counts("strange"));
  EXPECT_TRUE(smaps_misses_hinting_pmds("strange"));
  EXPECT_TRUE(uffd_wp_misses_huge_files("strange"));
  EXPECT_TRUE(zone_start_moves_unlocked("strange"));
  EXPECT_TRUE(hmm_deadlocks_in_hugetlb_holes("strange"));
}

TEST(KernelQuirks, TheRunningKernelHasARelease) {
  EXPECT_FALSE(kernel_release().empty());
}

}  // namespace
}  // namespace mmquake
