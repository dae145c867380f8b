// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/bisect/vm_trial.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace mmquake::bisect {
namespace {

Finding finding(const std::string& kind, const std::string& title) {
  Finding out;
  out.kind = kind;
  out.title = title;
  out.signature = "[" + title + "]";
  return out;
}

TrialResult result(Outcome outcome, std::vector<Finding> findings = {}) {
  TrialResult out;
  out.end = mmquake::TrialEnd::kPoweredOff;
  out.verdict = {outcome, "the reason", std::move(findings)};
  return out;
}

VmTrial of_case() {
  VmTrial out;
  out.case_name = "split";
  out.expect_kinds = {"hang", "corruption"};
  out.expect_titles = {"hang in f", "lost"};
  return out;
}

TEST(OutcomeOf, EachVerdictHasItsOwn) {
  EXPECT_EQ(outcome_of({}, result(Outcome::kPassed), "").end, TrialEnd::kPassed);
  const TrialOutcome skipped = outcome_of({}, result(Outcome::kSkipped), "");
  EXPECT_EQ(skipped.end, TrialEnd::kSkipped);
  EXPECT_EQ(skipped.reason, "the reason");
  // What a broken trial saw is no evidence.
  const auto broken = outcome_of({}, result(Outcome::kBroken, {finding("hang", "x")}), "[x]");
  EXPECT_EQ(broken.end, TrialEnd::kBroken);
  EXPECT_EQ(broken.signature, "");
}

TEST(OutcomeOf, AKernelThatReportsWhileItBootsCannotBeTested) {
  TrialResult silent = result(Outcome::kBroken);
  silent.end = mmquake::TrialEnd::kNoBoot;
  EXPECT_EQ(outcome_of({}, silent, "").end, TrialEnd::kBroken) << "the host may be too busy";
  TrialResult bug = result(Outcome::kBroken, {finding("kernel-bug", "BUG in start_kernel")});
  bug.end = mmquake::TrialEnd::kNoBoot;
  EXPECT_EQ(outcome_of({}, bug, "").end, TrialEnd::kSkipped);
}

TEST(OutcomeOf, TheFindingThatCountsDecides) {
  const TrialResult two =
      result(Outcome::kFound, {finding("warning", "first"), finding("hang", "second")});
  EXPECT_EQ(outcome_of({}, two, "").signature, "[first]");
  EXPECT_EQ(outcome_of({}, two, "[second]").signature, "[second]");
  EXPECT_EQ(outcome_of({}, two, "[third]").signature, "[first]");
}

TEST(OutcomeOf, WhatACaseExpectsIsOneBug) {
  const VmTrial trial = of_case();
  const std::string wanted = case_signature(trial);
  EXPECT_EQ(wanted, "case split");
  const auto signature = [&](std::vector<Finding> findings, const std::string& counts) {
    return outcome_of(trial, result(Outcome::kFound, std::move(findings)), counts).signature;
  };
  EXPECT_EQ(signature({finding("hang", "hang in f")}, wanted), wanted);
  EXPECT_EQ(signature({finding("warning", "w"), finding("corruption", "lost")}, wanted), wanted);
  EXPECT_EQ(signature({finding("hang", "hang in g")}, wanted), "[hang in g]");
  EXPECT_EQ(signature({finding("warning", "lost")}, wanted), "[lost]") << "of another kind";
  // Who asks for one of its ways gets that one.
  EXPECT_EQ(signature({finding("corruption", "lost")}, "[lost]"), "[lost]");
  EXPECT_NE(signature({finding("hang", "hang in f")}, "[lost]"), "[lost]");
}

TEST(VmTrialJson, WhatIsNoTrialIsNotGuessed) {
  const nlohmann::json whole = to_json(of_case());
  EXPECT_EQ(to_json(vm_trial_of(whole).value_or(VmTrial{})), whole);
  for (const auto& [name, value] : whole.items()) {
    nlohmann::json part = whole;
    part.erase(name);
    EXPECT_FALSE(vm_trial_of(part)) << name;
    part[name] = name == "seconds" ? nlohmann::json("7") : nlohmann::json(7);
    EXPECT_FALSE(vm_trial_of(part)) << name;
  }
  nlohmann::json site = whole;
  site["widen"] = {"f:no-number"};
  EXPECT_FALSE(vm_trial_of(site));
  EXPECT_FALSE(vm_trial_of(nlohmann::json::array()));
}

}  // namespace
}  // namespace mmquake::bisect
