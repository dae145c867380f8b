// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/machine/vcpu_history.h"

#include <gtest/gtest.h>

namespace mmquake {
namespace {

TEST(VcpuHistory, KnowsNothingBeforeTwoSamples) {
  VcpuHistory history;
  EXPECT_TRUE(history.shares(10, 5).empty());
  history.add(1, {{0, 0}});
  EXPECT_TRUE(history.shares(10, 5).empty());
  history.add(2, {});
  EXPECT_TRUE(history.shares(10, 5).empty()) << "nobody knew";
}

TEST(VcpuHistory, SharesAreOfTheWindowAlone) {
  VcpuHistory history;
  for (int second = 0; second <= 30; ++second) {
    // The first always runs; the second waits from the tenth second on, and was idle before.
    history.add(100 + second,
                {{50.0 + second, 7}, {3, second < 10 ? 0 : static_cast<double>(second) - 10}});
  }
  const auto late = history.shares(130, 10);
  ASSERT_EQ(late.size(), 2U);
  EXPECT_DOUBLE_EQ(late[0].ran_s, 10);
  EXPECT_DOUBLE_EQ(late[0].waited_s, 0);
  EXPECT_DOUBLE_EQ(late[1].ran_s, 0);
  EXPECT_DOUBLE_EQ(late[1].waited_s, 10);
  EXPECT_DOUBLE_EQ(history.shares(110, 10)[1].waited_s, 0);
  EXPECT_DOUBLE_EQ(history.shares(109.5, 10)[0].ran_s, 10) << "the first sample after the end";
  EXPECT_DOUBLE_EQ(history.shares(1e9, 1e9)[0].ran_s, 30) << "no more than is known";
  EXPECT_TRUE(history.shares(100, 10).empty());
}

// The kernel counts a wait when it ends: until then nothing seems to happen.
TEST(VcpuHistory, AWaitThatHasNotEndedCountsOnce) {
  VcpuHistory history;
  history.add(0, {{1, 0}});
  for (int second = 1; second <= 4; ++second) {
    history.add(second, {{1, 0, VcpuState::kRunnable}});
  }
  EXPECT_DOUBLE_EQ(history.shares(4, 4)[0].waited_s, 4);
  history.add(5, {{1.5, 4.5, VcpuState::kRunnable}});
  EXPECT_DOUBLE_EQ(history.shares(5, 5)[0].waited_s, 4.5);
  EXPECT_DOUBLE_EQ(history.shares(5, 5)[0].ran_s, 0.5);
}

TEST(VcpuHistory, IdleIsNotStarved) {
  VcpuHistory history;
  for (int second = 0; second <= 20; ++second) {
    // The second has just been woken whenever it is looked at.
    history.add(second, {{1, 1}, {1 + second * 0.01, 1 + second * 0.02, VcpuState::kRunnable}});
  }
  const auto shares = history.shares(20, 20);
  EXPECT_DOUBLE_EQ(shares[0].waited_s, 0);
  EXPECT_NEAR(shares[1].waited_s, 0.4, 1e-9);
}

TEST(VcpuHistory, WhoIsStoppedOrSleepsOnTheHostsDiskWaits) {
  VcpuHistory history;
  history.add(0, {{0, 0}});
  history.add(1, {{0.25, 0.25, VcpuState::kHeld}});
  EXPECT_DOUBLE_EQ(history.shares(1, 1)[0].waited_s, 0.75);
  history.add(2, {{0.25, 0.25}});
  EXPECT_DOUBLE_EQ(history.shares(2, 2)[0].waited_s, 0.75) << "what was held stays so";
}

// The host was suspended, or we and QEMU were stopped: then nobody took a sample either.
TEST(VcpuHistory, AGapBetweenSamplesIsTheHosts) {
  VcpuHistory history;
  history.add(0, {{0, 0}});
  history.add(60, {{1, 2}});
  EXPECT_DOUBLE_EQ(history.shares(60, 20)[0].waited_s, 59);
}

TEST(VcpuHistory, OtherThreadsAreAnotherVm) {
  VcpuHistory history;
  history.add(0, {{0, 0}});
  history.add(1, {{1, 0}});
  history.add(2, {{1, 0}, {1, 0}});
  EXPECT_TRUE(history.shares(2, 2).empty());
  history.add(3, {{2, 0}, {1, 0}});
  EXPECT_EQ(history.shares(3, 3).size(), 2U);
}

TEST(VcpuHistory, MemoryIsBounded) {
  VcpuHistory history;
  for (int second = 0; second <= 10000; ++second) {
    history.add(second, {{static_cast<double>(second), 0}});
  }
  EXPECT_LT(history.shares(1e9, 1e9)[0].ran_s, 7200);
  EXPECT_DOUBLE_EQ(history.shares(10000, 20)[0].ran_s, 20);
}

}  // namespace
}  // namespace mmquake
