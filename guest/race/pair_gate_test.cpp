// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/race/pair_gate.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace mmquake {
namespace {

constexpr int kMeetings = 500;

bool never() {
  return false;
}

TEST(PairGate, BothGoThroughEveryMeetingTogether) {
  PairGate gate;
  int shared = 0;  // no atomics: the gate alone must order these accesses
  std::thread other([&] {
    for (int i = 0; i < kMeetings; ++i) {
      ASSERT_TRUE(gate.meet(never));
      ++shared;
      ASSERT_TRUE(gate.meet(never));
    }
  });
  for (int i = 0; i < kMeetings; ++i) {
    ASSERT_TRUE(gate.meet(never));
    ASSERT_TRUE(gate.meet(never));
    ASSERT_EQ(shared, i + 1);
  }
  other.join();
}

TEST(PairGate, WhoeverWaitsIsFreedWhenTheOtherLeaves) {
  PairGate gate;
  bool met = true;
  std::thread other([&] { met = gate.meet(never); });
  gate.leave();
  other.join();
  EXPECT_FALSE(met);
  EXPECT_FALSE(gate.meet(never));
}

TEST(PairGate, StoppingEndsAWaitAndIsALeave) {
  PairGate gate;
  std::atomic<bool> stop{false};
  bool met = true;
  std::thread other([&] { met = gate.meet([&] { return stop.load(); }); });
  stop = true;
  other.join();
  EXPECT_FALSE(met);
  EXPECT_FALSE(gate.meet(never)) << "the one who came too late would wait for ever";
}

TEST(PairGate, MeetsAgainAfterAReset) {
  PairGate gate;
  gate.leave();
  gate.reset();
  std::thread other([&] { EXPECT_TRUE(gate.meet(never)); });
  const std::int64_t before = now_ns();
  EXPECT_TRUE(gate.meet(never));
  other.join();
  EXPECT_GE(gate.met_at_ns(), before - 1'000'000'000);
  EXPECT_LE(gate.met_at_ns(), now_ns());
}

}  // namespace
}  // namespace mmquake
