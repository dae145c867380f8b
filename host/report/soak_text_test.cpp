// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/report/soak_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace mmquake {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

StoredTrial trial(std::uint64_t number, const std::string& kernel, Outcome verdict) {
  StoredTrial out;
  out.number = number;
  out.state = TrialState::kEnded;
  out.attempt = 1;
  out.item = "case on " + kernel;
  out.kernel = kernel;
  out.kernel_release = "6.1.192";
  out.verdict = verdict;
  out.seconds = 60;
  out.rounds = 1000;
  out.migrations = 20;
  out.overlaps = 3;
  out.directory = "/runs/trial-" + std::to_string(number);
  out.repeat = "mmquake repro case --seed " + std::to_string(number);
  if (verdict == Outcome::kFound) {
    out.findings.push_back({"hang in f", "hang", "oracle", "hang: hang in f", 2, 5});
  }
  return out;
}

StoredCampaign campaign() {
  StoredCampaign out;
  out.id = 3;
  out.name = "nightly";
  out.used_seconds = 3720;
  return out;
}

TEST(SoakSummary, KernelsThatPassedHaveTheirBound) {
  std::vector<StoredTrial> trials;
  for (int i = 1; i <= 60; ++i) {
    trials.push_back(trial(static_cast<std::uint64_t>(i), "clean", Outcome::kPassed));
  }
  const std::string text = soak_summary(campaign(), trials);
  EXPECT_THAT(text, HasSubstr("campaign 3 nightly: 60 trials, 60 passed in 1h02m"));
  EXPECT_THAT(text, HasSubstr("60 passed of 60, 60,000 rounds, 1h00m of guest time: at 95 % "
                              "confidence fewer than 3.0 findings per hour"));
  EXPECT_EQ(soak_outcome(trials), Outcome::kPassed);
}

TEST(SoakSummary, TitlesAreCountedAndTheFirstTrialIsShown) {
  const std::vector<StoredTrial> trials = {trial(1, "clean", Outcome::kPassed),
                                           trial(2, "bad", Outcome::kFound),
                                           trial(5, "bad", Outcome::kFound)};
  const std::string text = soak_summary(campaign(), trials);
  EXPECT_THAT(text, HasSubstr("   2 x hang in f (hang)\n         first in trial 2, case on bad"));
  EXPECT_THAT(text, HasSubstr("/runs/trial-2/report.txt"));
  EXPECT_THAT(text, HasSubstr("again:  mmquake repro case --seed 2"));
  EXPECT_THAT(text, HasSubstr("2 trials found, "));
  EXPECT_EQ(soak_outcome(trials), Outcome::kFound);
  const auto json = soak_json(campaign(), trials);
  EXPECT_EQ(json["findings"][0]["count"], 2);
  EXPECT_EQ(json["findings"][0]["last_trial"], 5);
  EXPECT_EQ(json["kernels"][0]["name"], "bad");
  EXPECT_FALSE(json["kernels"][0].contains("findings_per_hour_below"));
  EXPECT_TRUE(json["kernels"][1].contains("findings_per_hour_below"));
}

TEST(SoakSummary, BrokenAndSkippedAreToldApart) {
  std::vector<StoredTrial> trials = {trial(1, "k", Outcome::kBroken),
                                     trial(2, "k", Outcome::kBroken),
                                     trial(3, "k", Outcome::kSkipped)};
  trials[0].reason = trials[1].reason = "host failure: QEMU";
  trials[2].reason = "no widener";
  const std::string text = soak_summary(campaign(), trials);
  EXPECT_THAT(text, HasSubstr("   2 x host failure: QEMU (first in trial 1)"));
  EXPECT_THAT(text, HasSubstr("case on k: no widener"));
  EXPECT_THAT(text, Not(HasSubstr("confidence"))) << "nothing passed";
  EXPECT_EQ(soak_outcome(trials), Outcome::kBroken);
  EXPECT_EQ(soak_outcome({trials[2]}), Outcome::kSkipped);
  EXPECT_EQ(soak_outcome({}), Outcome::kBroken);
}

TEST(SoakSummary, WhatABrokenTrialSawIsNoFinding) {
  StoredTrial broken = trial(1, "k", Outcome::kBroken);
  broken.findings.push_back({"hang in f", "hang", "oracle", "hang: hang in f", 2, 5});
  EXPECT_THAT(soak_summary(campaign(), {broken}), Not(HasSubstr("hang in f")));
  EXPECT_EQ(soak_json(campaign(), {broken})["findings"].size(), 0U);
}

TEST(SoakSummary, WhatHasNotEndedDoesNotCount) {
  StoredTrial running = trial(2, "k", Outcome::kPassed);
  running.state = TrialState::kRunning;
  const std::vector<StoredTrial> trials = {trial(1, "k", Outcome::kPassed), running};
  EXPECT_THAT(soak_summary(campaign(), trials), HasSubstr("1 trials have not ended"));
  EXPECT_EQ(soak_json(campaign(), trials)["trials"], 1);
}

TEST(SoakSummary, AGuestsTextCannotMoveTheCursor) {
  StoredTrial hostile = trial(1, "k", Outcome::kFound);
  hostile.findings[0].title = "hang \x1b[2J in\nf";
  hostile.kernel_release = "6\x1b]0;x\a";
  const std::string text = soak_summary(campaign(), {hostile}) + soak_trial_line(hostile, false);
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
  EXPECT_THAT(text, HasSubstr("\\x1b[2J in f"));
}

TEST(SoakStatusLine, SaysWhatMattersFirst) {
  SoakStatus status;
  status.counts.trials = 12;
  status.counts.passed = 10;
  status.counts.found = 2;
  status.counts.bugs = 1;
  status.counts.rounds = 12345;
  status.left_seconds = 4320;
  status.per_hour = 63;
  status.running = {"trial 13 case on k: running 5 of 20 s"};
  status.waiting = {"bad is parked after 6 broken, 1700 s"};
  EXPECT_EQ(soak_status_line(status),
            "12 trials, 10 passed, 2 FOUND (1 bug), 1h12m left, 63 trials/h, 12,345 rounds, 0 "
            "migrations, 0 overlaps | bad is parked after 6 broken, 1700 s | trial 13 case on k: "
            "running 5 of 20 s");
}

TEST(SoakTrialLine, IsOneLine) {
  EXPECT_EQ(soak_trial_line(trial(12, "clean", Outcome::kPassed), false),
            "   12  case on clean                            passed  60 s, 1,000 rounds, 20 "
            "migrations, 3 overlaps");
  EXPECT_THAT(soak_trial_line(trial(12, "clean", Outcome::kFound), false),
              HasSubstr("FOUND   hang in f"));
}

}  // namespace
}  // namespace mmquake
