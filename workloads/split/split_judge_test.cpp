// SPDX-License-Identifier: GPL-2.0-or-later
#include "workloads/split/split_judge.h"

#include <gtest/gtest.h>

namespace mmquake {
namespace {

using Must = SeenValue::Must;

TEST(SplitJudge, WhatStaysAndWhatIsGoneIsFine) {
  EXPECT_FALSE(judge_values({}));
  EXPECT_FALSE(judge_values({{Must::kStay, "a", 7, 7}, {Must::kBeGone, "b", 7, 0}}));
}

TEST(SplitJudge, ALostValueIsCorruption) {
  // 0: another page took its place; 6: an older one came back.
  for (const std::uint64_t seen : {0UL, 6UL}) {
    const auto finding =
        judge_values({{Must::kBeGone, "b", 7, 0}, {Must::kStay, "page 0", 7, seen}});
    ASSERT_TRUE(finding);
    EXPECT_EQ(finding->kind, "corruption");
    EXPECT_EQ(finding->title, "a page lost its value around a THP split");
    EXPECT_NE(finding->evidence.at("value").find("page 0: written 7"), std::string::npos);
  }
}

TEST(SplitJudge, APageThatComesBackIsCorruption) {
  for (const std::uint64_t seen : {7UL, 6UL}) {
    const auto finding = judge_values({{Must::kBeGone, "D", 7, seen}});
    ASSERT_TRUE(finding);
    EXPECT_EQ(finding->title, "a page came back that was given back");
  }
}

}  // namespace
}  // namespace mmquake
