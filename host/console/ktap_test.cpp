// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/console/ktap.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mmquake {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

KtapReport parse(std::string_view text) {
  KtapParser parser;
  parser.feed(text);
  parser.finish();
  return parser.report();
}

TEST(Ktap, AnOrdinarySelftest) {
  const KtapReport report = parse(
      "TAP version 13\n1..4\n# Testing\nok 1 first\nnot ok 2 second one\n"
      "ok 3 # SKIP no hugetlb pages\nnot ok 4 known # XFAIL not done yet\n"
      "# Totals: pass:1 fail:1 xfail:1 xpass:0 skip:1 error:0\n");
  EXPECT_TRUE(report.any);
  EXPECT_EQ(to_string(report), "1 ok, 1 not ok, 1 XFAIL, 1 SKIP");
  EXPECT_THAT(report.failures, ElementsAre("not ok 2 second one"));
  EXPECT_THAT(report.plan_faults, IsEmpty());
  EXPECT_EQ(report.skip_reason, "no hugetlb pages");
  EXPECT_FALSE(report.all_skipped());
}

TEST(Ktap, APlanIsToBeFulfilled) {
  EXPECT_THAT(parse("1..3\nok 1 a\n").plan_faults, ElementsAre("planned 3, saw 1"));
  EXPECT_THAT(parse("1..3\n").plan_faults, ElementsAre("planned 3, saw 0"));
  EXPECT_THAT(parse("1..1\nok 1 a\nok 2 b\n").plan_faults, ElementsAre("planned 1, saw 2"));
  EXPECT_THAT(parse("ok 1 a\nok 2 b\n1..2\n").plan_faults, IsEmpty()) << "it may come last";
  EXPECT_THAT(parse("ok 1 a\n").plan_faults, IsEmpty()) << "nothing was planned";
  EXPECT_THAT(parse("1..2\nBail out! no memory\n").plan_faults, IsEmpty());
  EXPECT_EQ(parse("1..2\nBail out! no memory\n").bail_out, "no memory");
}

TEST(Ktap, SubtestsBelongToTheResultThatFollows) {
  const KtapReport report = parse(
      "KTAP version 1\n1..2\n"
      "  KTAP version 1\n  1..2\n"
      "    KTAP version 1\n    1..1\n    not ok 1 leaf\n"
      "  not ok 1 inner\n  ok 2 other\n"
      "not ok 1 outer\n"
      "    # Subtest: suite\n    1..3\n    ok 1 a\n    ok 2 b\n"
      "ok 2 suite\n");
  EXPECT_THAT(report.failures, ElementsAre("not ok 1 leaf < inner < outer"));
  EXPECT_THAT(report.plan_faults, ElementsAre("planned 3, saw 2 < suite"));
  EXPECT_EQ(to_string(report), "3 ok, 1 not ok");
}

TEST(Ktap, AGroupMayFailByItself) {
  const KtapReport report = parse("1..1\n  1..1\n  ok 1 leaf\nnot ok 1 group\n");
  EXPECT_THAT(report.failures, ElementsAre("not ok 1 group"));
}

TEST(Ktap, AGroupThatNeverEnded) {
  const KtapReport report = parse("KTAP version 1\n1..1\n  1..2\n  not ok 1 leaf\n");
  EXPECT_THAT(report.failures, ElementsAre("not ok 1 leaf"));
  EXPECT_THAT(report.plan_faults, ElementsAre("planned 2, saw 1", "planned 1, saw 0"));
}

TEST(Ktap, SkippedAsAWhole) {
  const KtapReport none = parse("TAP version 13\n1..0 # SKIP no CONFIG_TEST_HMM\n");
  EXPECT_TRUE(none.all_skipped());
  EXPECT_EQ(none.skip_reason, "no CONFIG_TEST_HMM");
  EXPECT_TRUE(parse("1..2\nok 1 a # skip\nnot ok 2 b # SKIP\n").all_skipped());
  EXPECT_FALSE(parse("1..2\nok 1 a # SKIP\nok 2 b\n").all_skipped());
  EXPECT_FALSE(parse("1..2\nok 1 a # SKIP\n").all_skipped()) << "the second never came";
  EXPECT_FALSE(parse("").all_skipped());
}

TEST(Ktap, WhatOnlyLooksLikeIt) {
  const KtapReport report = parse(
      "ok\nnot ok\nok then 3\nnot ok 4the\n  not ok 5 indented, and nobody planned it\n"
      "# not ok 6 a diagnostic\nTAP version thirteen\n1..\n1..2..3\n1..99999999999999999999\n"
      "not ok 18446744073709551616 too large\n");
  EXPECT_FALSE(report.any);
  EXPECT_EQ(to_string(report), "");
  EXPECT_THAT(report.failures, IsEmpty());
}

TEST(Ktap, NamesAndDirectives) {
  EXPECT_THAT(parse("not ok 1 - dashed\n").failures, ElementsAre("not ok 1 dashed"));
  EXPECT_THAT(parse("not ok 1\n").failures, ElementsAre("not ok 1 "));
  EXPECT_THAT(parse("not ok 1 issue \\#7 # TIMEOUT 45 seconds\r\n").failures,
              ElementsAre("not ok 1 issue \\#7"));
  EXPECT_THAT(parse("not ok 2 \x1b[31mred\xff\n").failures, ElementsAre("not ok 2 ?[31mred?"));
  EXPECT_EQ(parse("not ok 1 a # todo\n").expected, 1U);
}

// A fork writes what is in stdio's buffer once more; a script runs several programs.
TEST(Ktap, SeveralDocuments) {
  EXPECT_THAT(parse("TAP version 13\n1..1\nTAP version 13\n1..1\nok 1 a\n").plan_faults, IsEmpty());
  EXPECT_THAT(parse("TAP version 13\n1..2\nok 1 a\nok 1 a\nok 2 b\n").plan_faults, IsEmpty());
  // What its subtests have said is not forgotten.
  EXPECT_THAT(parse("1..1\n  1..1\n  not ok 1 a\nTAP version 13\n1..1\nok 1 b\n").failures,
              ElementsAre("not ok 1 a"));
  const KtapReport report =
      parse("TAP version 13\n1..2\nok 1 a\nTAP version 13\n1..1\nnot ok 1 b\n");
  EXPECT_THAT(report.plan_faults, ElementsAre("planned 2, saw 1"));
  EXPECT_THAT(report.failures, ElementsAre("not ok 1 b"));
}

TEST(Ktap, WhatWasLostMayHaveBeenThere) {
  KtapParser parser;
  parser.feed("1..3\nok 1 a\nnot o");
  parser.gap();
  parser.feed("k 7 half of a line\nnot ok 3 c\n");
  parser.finish();
  EXPECT_TRUE(parser.report().cut);
  EXPECT_THAT(parser.report().plan_faults, IsEmpty());
  EXPECT_THAT(parser.report().failures, ElementsAre("not ok 3 c"));
}

TEST(Ktap, PiecesDoNotMatterAndTheLastLineNeedsNoEnd) {
  const std::string text = "TAP version 13\n1..2\nok 1 a\nnot ok 2 bee";
  KtapParser parser;
  for (const char c : text) parser.feed({&c, 1});
  parser.finish();
  EXPECT_THAT(parser.report().failures, ElementsAre("not ok 2 bee"));
  EXPECT_THAT(parser.report().plan_faults, IsEmpty());
}

TEST(Ktap, NothingGrowsWithoutABound) {
  std::string text;
  for (int i = 1; i <= 1000; ++i) {
    text += std::string(static_cast<std::size_t>(i % 40), ' ') + "1..9\nnot ok " +
            std::to_string(i) + " " + std::string(4000, 'x') + "\n";
  }
  const KtapReport report = parse(text);
  EXPECT_THAT(report.failures, SizeIs(KtapReport::kMostFailures));
  EXPECT_LE(report.plan_faults.size(), KtapReport::kMostPlanFaults);
  for (const std::string& failure : report.failures) {
    EXPECT_LE(failure.size(), KtapReport::kLongestText);
    EXPECT_THAT(failure, HasSubstr("xxx"));
  }
}

}  // namespace
}  // namespace mmquake
