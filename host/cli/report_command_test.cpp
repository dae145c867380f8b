// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/cli/report_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "host/plan/test_tree.h"
#include "host/report/synthetic_campaign.h"

namespace mmquake {
namespace {

using testing::HasSubstr;

TEST(Since, IsAnAgeOrADate) {
  const double now = 1.7e9;
  EXPECT_EQ(*parse_since("90m", now), now - 5400);
  EXPECT_EQ(*parse_since("36h", now), now - 129600);
  EXPECT_EQ(*parse_since("7d", now), now - 604800);
  EXPECT_EQ(*parse_since("1.5h", now), now - 5400);
  EXPECT_EQ(*parse_since("2023-11-14", now), 1699920000);
  for (const char* bad : {"", "h", "5", "5x", "-3h", "2023-11-14x", "yesterday"}) {
    auto got = parse_since(bad, now);
    ASSERT_FALSE(got) << bad;
    EXPECT_EQ(got.error().kind, ErrorKind::kUsage);
    EXPECT_THAT(got.error().message, HasSubstr("36h"));
  }
}

// A store with the synthetic campaign in it, as number 1.
class ReportCommand : public testing::Test {
 protected:
  ReportCommand() {
    common_.out = tree_.root();
    common_.json = true;
  }

  void fill(std::vector<StoredTrial> trials) {
    auto store = Store::open(store_path(common_));
    ASSERT_TRUE(store) << store.error().message;
    StoredCampaign campaign = synthetic_campaign();
    campaign.ended_at = 0;
    auto id = store->add_campaign(campaign);
    ASSERT_TRUE(id) << id.error().message;
    for (StoredTrial& trial : trials) {
      trial.campaign = *id;
      const bool ended = trial.state == TrialState::kEnded;
      trial.state = TrialState::kPlanned;
      ASSERT_TRUE(store->plan_trial(trial));
      auto attempt = store->start_trial(*id, trial.number, trial.started_at);
      ASSERT_TRUE(attempt);
      trial.attempt = *attempt;
      if (ended) {
        ASSERT_TRUE(store->end_trial(trial, 1));
      }
    }
  }
  TestTree tree_;
  CommonOptions common_;
};

TEST_F(ReportCommand, WithoutAStoreSaysHowToGetOneAndMakesNone) {
  EXPECT_EQ(report_campaign(common_, {}), kExitUsage);
  EXPECT_EQ(list_bugs(common_), kExitUsage);
  EXPECT_FALSE(std::filesystem::exists(store_path(common_)));
}

TEST_F(ReportCommand, TheExitCodeTellsWhatTheCampaignHasComeTo) {
  fill(synthetic_trials());
  EXPECT_EQ(report_campaign(common_, {}), kExitUnexpected);
  ReportOptions later;
  later.since = "2023-11-15";
  EXPECT_EQ(report_campaign(common_, later), kExitBroken) << "no trial is left";
  ReportOptions other;
  other.campaign = 7;
  EXPECT_EQ(report_campaign(common_, other), kExitUsage);
}

TEST_F(ReportCommand, WritesTheFilesAskedFor) {
  fill(synthetic_trials());
  ReportOptions options;
  options.html = common_.out / "html";
  options.junit = common_.out / "junit.xml";
  options.kcidb = common_.out / "kcidb.json";
  EXPECT_EQ(report_campaign(common_, options), kExitUnexpected);
  EXPECT_TRUE(std::filesystem::exists(options.html / "index.html"));
  EXPECT_GT(std::filesystem::file_size(options.junit), 100U);
  EXPECT_GT(std::filesystem::file_size(options.kcidb), 100U);
}

TEST_F(ReportCommand, ABugIsNamedByTheBeginningOfItsId) {
  fill(synthetic_trials());
  const std::string id = bug_id("warning|" + std::string(kHostileTitle));
  EXPECT_EQ(show_bug(common_, id), kExitExpected);
  EXPECT_EQ(show_bug(common_, id.substr(0, 3)), kExitExpected);
  EXPECT_EQ(show_bug(common_, "nope"), kExitUsage);
  EXPECT_EQ(replay_trial(common_, "1/99"), kExitUsage);
}

}  // namespace
}  // namespace mmquake
