// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/campaign/score.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace mmquake {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

CaseScore sample(int found, int missed, int passed) {
  CaseScore score;
  score.name = "uffd-thp-migration";
  score.bug_kernel = "specimen";
  score.clean_kernel = "clean";
  for (int i = 0; i < found; ++i) score.bug.push_back({true, Outcome::kFound, 1.0 + i, 4});
  for (int i = 0; i < missed; ++i) score.bug.push_back({false, Outcome::kPassed, 30, 400});
  for (int i = 0; i < passed; ++i) score.clean.push_back({true, Outcome::kPassed, 6, 200});
  return score;
}

TEST(Score, NineOfTenAreEnoughAndEightAreNot) {
  EXPECT_EQ(score_of(sample(10, 0, 10)), ScoreResult::kGood);
  EXPECT_EQ(score_of(sample(9, 1, 10)), ScoreResult::kGood);
  EXPECT_EQ(score_of(sample(8, 2, 10)), ScoreResult::kMissed);
  EXPECT_EQ(score_of(sample(0, 10, 10)), ScoreResult::kMissed);
}

TEST(Score, WhereOneHitIsEnoughNoneIsNot) {
  EXPECT_EQ(score_of(sample(1, 2, 1), 0), ScoreResult::kGood);
  EXPECT_EQ(score_of(sample(0, 3, 1), 0), ScoreResult::kMissed);
}

TEST(Score, AFindingOnACleanKernelOutweighsAllHits) {
  CaseScore score = sample(10, 0, 9);
  score.clean.push_back({false, Outcome::kFound, 2, 3, "FOUND kernel BUG in expand"});
  EXPECT_EQ(score_json({score})[0]["clean"]["unexpected"],
            nlohmann::json::array({"FOUND kernel BUG in expand"}));
  EXPECT_FALSE(score_json({score})[0]["bug"].contains("unexpected"));
  EXPECT_EQ(score_of(score), ScoreResult::kAccused);
  EXPECT_THAT(score_table({score}), HasSubstr("ACCUSED A CLEAN KERNEL"));
}

TEST(Score, ABrokenTrialOnEitherSideIsNeverGood) {
  CaseScore score = sample(10, 0, 10);
  score.clean.push_back({false, Outcome::kBroken, 0, 0});
  EXPECT_EQ(score_of(score), ScoreResult::kBroken);
  score = sample(10, 0, 10);
  score.bug.push_back({false, Outcome::kBroken, 0, 0});
  EXPECT_EQ(score_of(score), ScoreResult::kBroken);
}

TEST(Score, SkippedIsSaid) {
  CaseScore score = sample(0, 0, 0);
  score.bug.push_back({false, Outcome::kSkipped, 0, 0});
  EXPECT_EQ(score_of(score), ScoreResult::kSkipped);
}

TEST(Score, ACaseWithoutATrialSaysWhy) {
  CaseScore score = sample(0, 0, 0);
  score.skipped = "kernel specimen-6.12 has no switch x";
  EXPECT_EQ(score_of(score), ScoreResult::kSkipped);
  EXPECT_THAT(score_table({score}), HasSubstr("skipped: kernel specimen-6.12 has no switch x\n"));
  EXPECT_EQ(score_json({score})[0]["skipped"], score.skipped);
}

TEST(Score, AKernelAloneHasNothingToMiss) {
  EXPECT_EQ(score_of(sample(0, 0, 1)), ScoreResult::kGood);
  CaseScore score = sample(0, 0, 0);
  EXPECT_EQ(score_of(score), ScoreResult::kMissed);  // nothing was run
  score.clean.push_back({false, Outcome::kSkipped, 0, 0});
  EXPECT_EQ(score_of(score), ScoreResult::kSkipped);
}

TEST(Score, WhatWasNotRunIsSaidWithItsReason) {
  CaseScore score = sample(0, 0, 0);
  score.left_out = "kernel 'specimen' is not built";
  EXPECT_EQ(score_of(score), ScoreResult::kLeftOut);
  EXPECT_THAT(score_table({score}), HasSubstr("left out: kernel 'specimen' is not built"));
  EXPECT_EQ(score_json({score})[0]["result"], "left out");
  EXPECT_EQ(score_json({score})[0]["reason"], "kernel 'specimen' is not built");
}

TEST(Score, AnotherFindingThanTheExpectedOneIsNoHit) {
  CaseScore score = sample(8, 0, 10);
  score.bug.push_back({false, Outcome::kFound, 2, 3});
  score.bug.push_back({false, Outcome::kFound, 2, 3});
  EXPECT_EQ(score_of(score), ScoreResult::kMissed);
}

TEST(Score, TableHasCountsTimesRoundsAndBound) {
  const std::string table = score_table({sample(9, 1, 10)});
  EXPECT_THAT(table, HasSubstr("9 of 10"));
  EXPECT_THAT(table, HasSubstr("5.0, 9.0 s"));  // median and 90th percentile of 1..9
  EXPECT_THAT(table, HasSubstr("10 of 10"));
  EXPECT_THAT(table, HasSubstr("2000"));
  EXPECT_THAT(table, HasSubstr("< 180 findings/h at 95 %"));
  EXPECT_THAT(table, Not(HasSubstr("MISSED")));
}

TEST(Score, JsonHasTheSame) {
  const nlohmann::json json = score_json({sample(9, 1, 10)});
  ASSERT_EQ(json.size(), 1U);
  EXPECT_EQ(json[0]["result"], "good");
  EXPECT_EQ(json[0]["bug"]["as_expected"], 9);
  EXPECT_EQ(json[0]["bug"]["seconds_90"], 9.0);
  EXPECT_NEAR(json[0]["bug"]["probability_low"], 0.555, 0.001);
  EXPECT_NEAR(json[0]["clean"]["findings_per_hour_below"], 179.7, 0.1);
}

}  // namespace
}  // namespace mmquake
