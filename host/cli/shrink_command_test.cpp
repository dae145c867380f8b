// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/cli/shrink_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/cli/shrink_trials.h"
#include "host/plan/test_tree.h"

namespace mmquake {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(TrialName, IsTwoNumbers) {
  EXPECT_TRUE(is_trial_name("3/12"));
  for (const char* word : {"compose", "3", "3/", "/12", "3/1/2", "a/1", "3/1x", ""}) {
    EXPECT_FALSE(is_trial_name(word)) << word;
  }
}

TEST(FoundCount, IsSaidWithItsBounds) {
  EXPECT_EQ(count_text({3, 4, {2, 1, 7}}),
            "3 of 4 trials (0.19 to 0.99 at 95 %), after 2.0 s (median)");
  EXPECT_EQ(count_text({0, 4, {}}), "0 of 4 trials (0.00 to 0.60 at 95 %)");
}

class WordsOfTrial : public testing::Test {
 protected:
  // As trial 1/1.
  void store(const StoredTrial& wanted) {
    auto store = Store::open(tree_.root() / "store.sqlite");
    ASSERT_TRUE(store) << store.error().message;
    StoredCampaign campaign;
    campaign.name = "compose";
    auto id = store->add_campaign(campaign);
    ASSERT_TRUE(id) << id.error().message;
    StoredTrial trial = wanted;
    trial.campaign = *id;
    trial.number = 1;
    trial.state = TrialState::kPlanned;
    trial.verdict = Outcome::kFound;
    ASSERT_TRUE(store->plan_trial(trial));
    auto attempt = store->start_trial(*id, 1, 1);
    ASSERT_TRUE(attempt);
    trial.attempt = *attempt;
    ASSERT_TRUE(store->end_trial(trial, 1));
  }
  static StoredTrial composed() {
    StoredTrial out;
    out.workload = "compose";
    out.repeat =
        "/usr/bin/mmquake run compose --kernel 'my run' --seed 7 --param backing=anon-thp "
        "--widen 'a|b:0-5' --accel tcg";
    StoredFinding finding;
    finding.signature = "corruption: stale data";
    out.findings = {finding};
    return out;
  }
  Result<std::vector<std::string>> words() {
    return words_of_trial({}, "1/1", tree_.root(), options_);
  }

  TestTree tree_;
  ShrinkOptions options_;
};

TEST_F(WordsOfTrial, AreThoseOfItsCommand) {
  store(composed());
  const auto got = words();
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_THAT(*got, ElementsAre("compose", "--kernel", "my run", "--seed", "7", "--param",
                                "backing=anon-thp", "--widen", "a|b:0-5", "--accel", "tcg"));
  EXPECT_EQ(options_.signature, "corruption: stale data");
}

TEST_F(WordsOfTrial, WhatFoundNothingCannotBeShrunk) {
  StoredTrial trial = composed();
  trial.findings.clear();
  store(trial);
  const auto got = words();
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().kind, ErrorKind::kUsage);
  EXPECT_THAT(got.error().message, HasSubstr("found nothing"));
}

TEST_F(WordsOfTrial, NorCanAnotherWorkload) {
  StoredTrial trial = composed();
  trial.workload = "migrate-verify";
  store(trial);
  const auto got = words();
  ASSERT_FALSE(got);
  EXPECT_THAT(got.error().message, HasSubstr("migrate-verify"));
}

}  // namespace
}  // namespace mmquake
