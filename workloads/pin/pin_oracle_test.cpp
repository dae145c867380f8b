// SPDX-License-Identifier: GPL-2.0-or-later
//
// The judging parts of the pin workloads, with what broken and sound kernels would show.
#include <gtest/gtest.h>

#include <cerrno>
#include <vector>

#include "workloads/pin/hot_remove_oracle.h"
#include "workloads/pin/pin_refusal.h"
#include "workloads/pin/placement.h"

namespace mmquake {
namespace {

PageEntry at(std::uint64_t pfn) {
  return PageEntry{1ULL << 63 | pfn};
}

Forbidden movable() {
  auto zones = ZoneMap::from_zoneinfo(
      "Node 0, zone Normal\n spanned 100\n start_pfn: 1\n"
      "Node 1, zone Movable\n spanned 100\n start_pfn: 1000\n");
  EXPECT_TRUE(zones) << zones.error().message;
  return movable_ranges(*zones);
}

TEST(MovableRanges, AreTheZonesAndTheirNode) {
  const Forbidden forbidden = movable();
  EXPECT_EQ(forbidden.name, "ZONE_MOVABLE");
  EXPECT_EQ(forbidden.node, 1);
  EXPECT_TRUE(forbidden.holds(1000));
  EXPECT_TRUE(forbidden.holds(1099));
  EXPECT_FALSE(forbidden.holds(1100));
  EXPECT_FALSE(forbidden.holds(50));
}

TEST(MovableRanges, LeaveOutWhatAnotherZoneClaimsToo) {
  auto zones = ZoneMap::from_zoneinfo(
      "Node 0, zone Normal\n spanned 100\n start_pfn: 1\n"
      "Node 0, zone Movable\n spanned 100\n start_pfn: 90\n");
  ASSERT_TRUE(zones);
  EXPECT_TRUE(movable_ranges(*zones).ranges.empty());
}

TEST(Placement, CountsThePinnedPagesThatWereLeft) {
  const std::vector<PageEntry> before{at(1000), at(1001), at(1002)};
  const std::vector<PageEntry> pinned{at(10), at(1001), at(1002)};
  const Placement seen = judge_placement(before, pinned, pinned, {false, true, true}, movable());
  EXPECT_EQ(seen.before, 3U);
  EXPECT_EQ(seen.left, 2U);
  EXPECT_EQ(seen.first_left, 1U);
  EXPECT_EQ(seen.first_entry.pfn(), 1001U);
}

TEST(Placement, AcquitsPagesThatAllMoved) {
  const std::vector<PageEntry> pinned{at(10), at(11)};
  const Placement seen =
      judge_placement({at(1000), at(1001)}, pinned, pinned, {false, false}, movable());
  EXPECT_EQ(seen.left, 0U);
  EXPECT_EQ(seen.first_left, std::nullopt);
}

// The process got another page after the pin; the pinned one lies who knows where.
TEST(Placement, AcquitsAMappedPageThatTheDeviceDoesNotHold) {
  const std::vector<PageEntry> pinned{at(1000)};
  const Placement seen = judge_placement({at(1000)}, pinned, pinned, {false}, movable());
  EXPECT_EQ(seen.left, 0U);
  EXPECT_EQ(seen.other_page, 1U);
}

// The stamp may have gone to the page that came afterwards.
TEST(Placement, AcquitsAPageThatWasExchangedWhileItWasLookedAt) {
  const Placement seen = judge_placement({at(1000)}, {at(1000)}, {at(10)}, {true}, movable());
  EXPECT_EQ(seen.left, 0U);
}

TEST(Placement, APageThatIsNotMappedHasNoPlace) {
  const Placement seen =
      judge_placement({PageEntry{}}, {PageEntry{}}, {PageEntry{}}, {true}, movable());
  EXPECT_EQ(seen.before, 0U);
  EXPECT_EQ(seen.left, 0U);
}

TEST(Removal, ThatOurPinHeldUpIsTheKernelsFault) {
  EXPECT_EQ(judge_removal({std::nullopt, 504, 0}), RemovalVerdict::kHeldByPin);
}

TEST(Removal, ThatEndsWhileThePinLastsIsSound) {
  EXPECT_EQ(judge_removal({0, 0, std::nullopt}), RemovalVerdict::kSound);
}

TEST(Removal, ThatIsRefusedAccusesNobody) {
  EXPECT_EQ(judge_removal({EBUSY, 504, std::nullopt}), RemovalVerdict::kRefused);
}

TEST(Removal, ThatAnotherOneHeldUpAccusesNobody) {
  // It goes on without the pin, or is ended by a signal.
  EXPECT_EQ(judge_removal({std::nullopt, 504, std::nullopt}), RemovalVerdict::kHeldByOther);
  EXPECT_EQ(judge_removal({std::nullopt, 504, EINTR}), RemovalVerdict::kHeldByOther);
  // The pin has no page there.
  EXPECT_EQ(judge_removal({std::nullopt, 0, 0}), RemovalVerdict::kHeldByOther);
}

Refusal refusal(int error) {
  Refusal out;
  out.error = error;
  out.available_kib = 1024UL * 1024UL;
  out.wanted_kib = 256;
  return out;
}

TEST(Refusal, IsTheKernelsFaultWhenNothingElseExplainsIt) {
  EXPECT_EQ(why_refused(refusal(ENOMEM)), std::nullopt);
  EXPECT_EQ(why_refused(refusal(EAGAIN)), std::nullopt);
}

TEST(Refusal, IsRightForEachThingThatExplainsIt) {
  EXPECT_TRUE(why_refused(refusal(EFAULT)));
  Refusal moved = refusal(ENOMEM);
  moved.failed_moves = 1;
  EXPECT_TRUE(why_refused(moved));
  Refusal scarce = refusal(ENOMEM);
  scarce.available_kib = 1024;
  EXPECT_TRUE(why_refused(scarce));
  Refusal limited = refusal(ENOMEM);
  limited.may_lock = false;
  EXPECT_TRUE(why_refused(limited));
}

}  // namespace
}  // namespace mmquake
