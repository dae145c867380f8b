// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/report/campaign_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "host/report/synthetic_campaign.h"

namespace mmquake {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

CampaignReport sample() {
  return summarise(synthetic_campaign(), synthetic_trials(), {});
}

TEST(CampaignReport, CountsEndedTrialsOnly) {
  const CampaignReport report = sample();
  EXPECT_EQ(report.total.trials, 8U);
  EXPECT_EQ(report.open_trials, 1U);
  EXPECT_EQ(report.total.passed, 4U);
  EXPECT_EQ(report.total.found, 2U);
  EXPECT_EQ(report.total.broken, 1U);
  EXPECT_EQ(report.total.skipped, 1U);
  EXPECT_EQ(report.total.passed_seconds, 200) << "a bound follows from passes alone";
  EXPECT_EQ(report.kernels.at("clean").trials, 5U);
  EXPECT_EQ((report.cells.at({"specimen", "thp-split"}).trials), 2U);
}

TEST(CampaignReport, OneBugIsOneEntryWithItsQuickestTrial) {
  const CampaignReport report = sample();
  ASSERT_EQ(report.bugs.size(), 1U) << "what a broken trial saw is unconfirmed";
  const BugEntry& bug = report.bugs[0];
  EXPECT_THAT(bug.trials, ElementsAre("3/5", "3/6"));
  EXPECT_THAT(bug.seconds, ElementsAre(7.5, 2.5));
  EXPECT_EQ(bug.sample.number, 6U);
  EXPECT_THAT(bug.kernels, ElementsAre("specimen"));
  EXPECT_THAT(bug.items, ElementsAre("migrate-verify", "thp-split"));
  EXPECT_LT(bug.first_seen, bug.last_seen);
  EXPECT_EQ(bug.id.size(), 8U);
}

TEST(CampaignReport, TwoFindingsOfOneTrialAreTwoBugs) {
  auto trials = synthetic_trials();
  trials[4].findings.push_back(stored_finding("WARNING in g", 0));
  trials[4].findings.push_back(trials[4].findings[0]);
  const CampaignReport report = summarise(synthetic_campaign(), trials, {});
  ASSERT_EQ(report.bugs.size(), 2U);
  EXPECT_EQ(report.bugs[0].trials.size(), 2U) << "a trial counts once";
  EXPECT_EQ(report.bugs[1].title, "WARNING in g");
  EXPECT_TRUE(report.bugs[1].seconds.empty()) << "nobody knows when";
}

TEST(CampaignReport, NewBugsComeFirst) {
  auto trials = synthetic_trials();
  trials[4].findings.push_back(stored_finding("WARNING in g", 1));
  const CampaignReport report =
      summarise(synthetic_campaign(), trials, {"warning|" + std::string(kHostileTitle)});
  EXPECT_EQ(report.bugs[0].title, "WARNING in g");
  EXPECT_TRUE(report.bugs[0].fresh);
  EXPECT_FALSE(report.bugs[1].fresh);
}

TEST(CampaignReport, BrokenTrialsAreGroupedByReason) {
  const CampaignReport report = sample();
  ASSERT_EQ(report.broken.size(), 1U);
  EXPECT_EQ(report.broken[0].reason, "host failure: # no <space>");
  EXPECT_EQ(report.broken[0].first_trial, 7U);
}

TEST(CampaignReport, ABugAsTextIsEscapedAndSaysHowToSeeItAgain) {
  const std::string text = bug_text(sample().bugs[0], "mmquake");
  EXPECT_THAT(text, HasSubstr("mmquake replay 3/6"));
  EXPECT_THAT(text, HasSubstr("2 trials, after 2.5 s (median)"));
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
}

TEST(CampaignReport, BugsAsJson) {
  const auto json = nlohmann::json::parse(bugs_json(sample().bugs));
  ASSERT_EQ(json.size(), 1U);
  EXPECT_EQ(json[0]["trials"], nlohmann::json({"3/5", "3/6"}));
  EXPECT_EQ(json[0]["new"], true);
  EXPECT_EQ(json[0]["seconds_median"], 2.5);
}

TEST(CampaignReport, TimesAreUtc) {
  EXPECT_EQ(utc_time(1.7e9), "2023-11-14 22:13:20");
  EXPECT_EQ(utc_time(0), "-");
}

}  // namespace
}  // namespace mmquake
