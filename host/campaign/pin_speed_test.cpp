// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/campaign/pin_speed.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

namespace mmquake {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Counters two_rounds() {
  return {{"us.longterm-1g.nth_page.00", 20000},
          {"us.longterm-1g.nth_page.01", 22000},
          {"us.longterm-1g.increment.00", 10000},
          {"us.longterm-1g.increment.01", 10000},
          {"us.fast-2m.nth_page.00", 3000},
          {"us.fast-2m.nth_page.01", 3000},
          {"us.fast-2m.increment.00", 3000},
          {"us.fast-2m.increment.01", 2000},
          {"measured_rounds", 2},
          {"us.oddly-named", 0}};
}

TEST(PinSpeed, RatiosAreOfTimesOfOneRound) {
  const auto rows = pin_speed_rows(two_rounds());
  ASSERT_TRUE(rows) << rows.error().message;
  ASSERT_EQ(rows->size(), 2U);
  EXPECT_EQ((*rows)[0].subject, "fast-2m");
  const PinSpeedRow& row = (*rows)[1];
  EXPECT_EQ(row.subject, "longterm-1g");
  EXPECT_THAT(row.nth_page_us, ElementsAre(20000, 22000));
  EXPECT_DOUBLE_EQ(row.ratio().low, 2.0);
  EXPECT_DOUBLE_EQ(row.ratio().high, 2.2);
  EXPECT_DOUBLE_EQ((*rows)[0].ratio().high, 1.5);
}

TEST(PinSpeed, WhatWasNotMeasuredIsAnError) {
  EXPECT_FALSE(pin_speed_rows({{"measured_rounds", 2}}));
  Counters zero = two_rounds();
  zero["us.fast-2m.increment.01"] = 0;
  const auto nothing = pin_speed_rows(zero);
  ASSERT_FALSE(nothing);
  EXPECT_THAT(nothing.error().message, HasSubstr("'us.fast-2m.increment.01'"));
  Counters half = two_rounds();
  half.erase("us.fast-2m.increment.01");
  EXPECT_THAT(pin_speed_rows(half).error().message, HasSubstr("2 times by nth_page() and 1"));
}

TEST(PinSpeed, QuartilesAreByNearestRank) {
  const Quartiles of = quartiles({5, 1, 4, 2, 3, 8, 7, 6});
  EXPECT_EQ(of.low, 2);
  EXPECT_EQ(of.median, 4);
  EXPECT_EQ(of.high, 6);
  EXPECT_EQ(quartiles({3}).low, 3);
}

TEST(PinSpeed, TableAndJsonSayTheSame) {
  const PinSpeedResult result{"pin-speed-novmemmap", "SPARSEMEM", *pin_speed_rows(two_rounds())};
  const std::string table = pin_speed_table({result});
  EXPECT_THAT(table, HasSubstr("longterm-1g"));
  EXPECT_THAT(table, HasSubstr("20.00 ms"));
  EXPECT_THAT(table, HasSubstr("2.00 (2.00 to 2.20)"));
  const nlohmann::json json = pin_speed_json({result});
  ASSERT_EQ(json.size(), 2U);
  EXPECT_EQ(json[1]["pin"], "longterm-1g");
  EXPECT_EQ(json[1]["memory_model"], "SPARSEMEM");
  EXPECT_EQ(json[1]["rounds"], 2);
  EXPECT_DOUBLE_EQ(json[1]["ratio"]["high"].get<double>(), 2.2);
}

}  // namespace
}  // namespace mmquake
