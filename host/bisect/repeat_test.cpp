// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/bisect/repeat.h"

#include <gtest/gtest.h>

#include "host/bisect/graphs_for_tests.h"

namespace mmquake::bisect {
namespace {

// Ends its trials as it was told to.
class ScriptedTester final : public KernelTester {
 public:
  explicit ScriptedTester(std::vector<TrialOutcome> outcomes) : outcomes_(std::move(outcomes)) {}
  bool is_ready(const Commit&) const override { return true; }
  Result<BuildResult> build(const Commit&, const StatusSink&) override { return build_result; }
  Result<TrialOutcome> trial(const Commit&, std::uint32_t number, std::uint64_t seed,
                             const StatusSink&) override {
    EXPECT_EQ(number, seeds.size() + 1);
    seeds.push_back(seed);
    if (number > outcomes_.size()) return broken("interrupted");
    return outcomes_[number - 1];
  }
  BuildResult build_result = built();
  std::vector<std::uint64_t> seeds;

 private:
  std::vector<TrialOutcome> outcomes_;
};

class Silence final : public BisectionListener {
 public:
  void on_status(const std::string&) override {}
  void on_build(std::size_t, const BuildResult&) override {}
  void on_trial(std::size_t, const TrialOutcome&) override {}
};

TrialOutcome skipped_trial() {
  return {TrialEnd::kSkipped, "", "lacks userfaultfd", 1};
}

CommitAnswer answer(std::vector<TrialOutcome> outcomes, std::uint32_t trials,
                    const std::string& signature = "") {
  ScriptedTester tester(std::move(outcomes));
  Silence silence;
  RepeatSettings settings;
  settings.trials = trials;
  settings.signature = signature;
  auto out = test_commit(tester, {"c", "", {}}, settings, silence);
  EXPECT_TRUE(out) << out.error().message;
  return out ? *out : CommitAnswer{};
}

TEST(TestCommit, IsGoodWhenAllPassAndBadWithTheFirstFinding) {
  EXPECT_EQ(answer({passed(), passed(), passed()}, 3).verdict, CommitVerdict::kGood);
  const CommitAnswer bad = answer({passed(), found("bug")}, 3);
  EXPECT_EQ(bad.verdict, CommitVerdict::kBad);
  EXPECT_EQ(bad.signature, "bug");
}

TEST(TestCommit, AnotherBugIsNoVote) {
  EXPECT_EQ(answer({found("other"), passed(), passed()}, 2, "bug").verdict, CommitVerdict::kGood);
  EXPECT_EQ(answer({found("other"), passed(), found("bug")}, 2, "bug").verdict,
            CommitVerdict::kBad);
  const CommitAnswer always = answer(std::vector<TrialOutcome>(5, found("other")), 1, "bug");
  EXPECT_EQ(always.verdict, CommitVerdict::kUntestable);
  EXPECT_EQ(always.reason, "shows another bug each time: other");
}

TEST(TestCommit, BrokenTrialsAreRepeatedAndThenAbort) {
  EXPECT_EQ(answer({broken_trial(), broken_trial(), passed()}, 1).verdict, CommitVerdict::kGood);
  const CommitAnswer broken = answer({broken_trial(), broken_trial(), broken_trial()}, 1);
  EXPECT_EQ(broken.verdict, CommitVerdict::kBroken);
  EXPECT_EQ(broken.reason, "no boot");
}

TEST(TestCommit, WhatCannotBeTestedSaysWhy) {
  EXPECT_EQ(answer({skipped_trial()}, 3).reason, "lacks userfaultfd");
  ScriptedTester tester({});
  tester.build_result = not_built();
  Silence silence;
  const auto unbuilt = test_commit(tester, {"c", "", {}}, {}, silence);
  ASSERT_TRUE(unbuilt) << unbuilt.error().message;
  EXPECT_EQ(unbuilt->verdict, CommitVerdict::kUntestable);
  EXPECT_EQ(unbuilt->reason, "does not compile");
}

TEST(TestCommit, AnErrorIsNoVerdictAndSeedsDiffer) {
  ScriptedTester tester({passed(), passed()});
  Silence silence;
  RepeatSettings settings;
  settings.trials = 3;
  EXPECT_FALSE(test_commit(tester, {"c", "", {}}, settings, silence));
  ASSERT_EQ(tester.seeds.size(), 3U);
  EXPECT_NE(tester.seeds[0], tester.seeds[1]);
}

}  // namespace
}  // namespace mmquake::bisect
