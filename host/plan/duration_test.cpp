// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/plan/duration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mmquake {
namespace {

TEST(Duration, TakesUnitsFromLargeToSmall) {
  EXPECT_DOUBLE_EQ(parse_duration("8h").value(), 28800);
  EXPECT_DOUBLE_EQ(parse_duration("90s").value(), 90);
  EXPECT_DOUBLE_EQ(parse_duration("1h30m").value(), 5400);
  EXPECT_DOUBLE_EQ(parse_duration("2d1h1m1s").value(), 176461);
  EXPECT_DOUBLE_EQ(parse_duration("366d").value(), 366 * 86400.0);
}

TEST(Duration, RefusesWhatCouldMeanSomethingElse) {
  for (const char* bad : {"", "8", "h", "8 h", "-1h", "1.5h", "30m1h", "1h1h", "8x", "0s", "367d",
                          "99999999999999999999s", "1h\n", "8H"}) {
    const auto got = parse_duration(bad);
    ASSERT_FALSE(got) << bad;
    EXPECT_EQ(got.error().kind, ErrorKind::kUsage);
    EXPECT_THAT(got.error().message, testing::HasSubstr("1h30m")) << bad;
  }
}

TEST(Duration, IsToldInTwoUnits) {
  EXPECT_EQ(duration_text(-1), "0s");
  EXPECT_EQ(duration_text(59.9), "59s");
  EXPECT_EQ(duration_text(60), "1m00s");
  EXPECT_EQ(duration_text(7 * 3600 + 5 * 60 + 59), "7h05m");
  EXPECT_EQ(duration_text(3 * 86400 + 2 * 3600), "3d02h");
}

}  // namespace
}  // namespace mmquake
