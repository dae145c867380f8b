// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/program/stuck_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mmquake {
namespace {

using std::chrono::seconds;
using testing::IsEmpty;
using testing::SizeIs;

constexpr StuckWatch::Time kStart{};

Task fault(int tid, std::uint64_t switches) {
  return {1, tid, 'S', switches, "-1 0x1 0x2"};
}
Task sleeper(int tid) {
  return {1, tid, 'S', 5, "35 0x1 0x2"};
}

TEST(StuckWatch, AFaultThatLastsIsStuck) {
  StuckWatch watch(seconds(5));
  EXPECT_THAT(watch.feed({fault(1, 3), sleeper(2)}, kStart), IsEmpty());
  EXPECT_TRUE(watch.has_suspects());
  EXPECT_THAT(watch.feed({fault(1, 3), sleeper(2)}, kStart + seconds(4)), IsEmpty());
  const std::vector<Task> stuck = watch.feed({fault(1, 3), sleeper(2)}, kStart + seconds(5));
  ASSERT_THAT(stuck, SizeIs(1));
  EXPECT_EQ(stuck[0].tid, 1);
}

TEST(StuckWatch, WhoRanInBetweenBeginsAnew) {
  StuckWatch watch(seconds(5));
  watch.feed({fault(1, 3)}, kStart);
  EXPECT_THAT(watch.feed({fault(1, 4)}, kStart + seconds(5)), IsEmpty());
  EXPECT_THAT(watch.feed({fault(1, 4)}, kStart + seconds(9)), IsEmpty());
  EXPECT_THAT(watch.feed({fault(1, 4)}, kStart + seconds(10)), SizeIs(1));
}

TEST(StuckWatch, WhoWasSeenElsewhereBeginsAnew) {
  StuckWatch watch(seconds(5));
  watch.feed({fault(1, 3)}, kStart);
  watch.feed({}, kStart + seconds(1));
  EXPECT_FALSE(watch.has_suspects());
  EXPECT_THAT(watch.feed({fault(1, 3)}, kStart + seconds(6)), IsEmpty());
}

TEST(StuckWatch, OfTheKilledNobodyMayWait) {
  StuckWatch watch(seconds(5));
  watch.count_every_wait();
  watch.feed({sleeper(2), {1, 3, 'Z', 1, ""}, {1, 4, 'R', 1, ""}}, kStart);
  const std::vector<Task> stuck =
      watch.feed({sleeper(2), {1, 3, 'Z', 1, ""}, {1, 4, 'R', 1, ""}}, kStart + seconds(5));
  ASSERT_THAT(stuck, SizeIs(1));
  EXPECT_EQ(stuck[0].tid, 2);
}

}  // namespace
}  // namespace mmquake
