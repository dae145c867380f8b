// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/campaign/selftest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>

#include "guest/protocol/program_output.h"
#include "guest/protocol/records.h"

namespace mmquake {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

SelftestOutput printed(const std::string& text) {
  KtapParser parser;
  parser.feed(text);
  parser.finish();
  return {parser.report(), text};
}

Verdict found(const std::string& kind, const std::string& title) {
  Finding finding;
  finding.kind = kind;
  finding.title = title;
  finding.source = "oracle";
  finding.signature = kind + ": " + title;
  return {Outcome::kFound, "", {finding}};
}

std::vector<std::string> titles(const Verdict& verdict) {
  std::vector<std::string> out;
  for (const Finding& finding : verdict.findings) out.push_back(finding.title);
  return out;
}

const Verdict kPassed{Outcome::kPassed, "", {}};

TEST(JudgeSelftest, NotOkIsAFindingWhateverTheExitStatus) {
  const SelftestOutput output = printed("1..3\nok 1 a\nnot ok 2 bee\nnot ok 3 sea\n");
  for (const Verdict& before : {kPassed, found("failure", "mm:t: exited with 1")}) {
    const Verdict after = judge_selftest(before, "mm:t", output);
    EXPECT_EQ(after.outcome, Outcome::kFound);
    EXPECT_THAT(titles(after), ElementsAre("mm:t: not ok 2 bee", "mm:t: not ok 3 sea"));
    EXPECT_EQ(after.findings[0].evidence.at("output"), output.tail);
  }
}

TEST(JudgeSelftest, NumbersAreNoPartOfTheSignature) {
  const Verdict one =
      judge_selftest(kPassed, "mm:t", printed("not ok 3 at 0x7f12345678 of 4096\n"));
  const Verdict two =
      judge_selftest(kPassed, "mm:t", printed("not ok 4 at 0x7f87654321 of 8192\n"));
  EXPECT_NE(one.findings[0].title, two.findings[0].title);
  EXPECT_EQ(one.findings[0].signature, two.findings[0].signature);
}

TEST(JudgeSelftest, WhatTheKernelSaysStaysFirst) {
  const Verdict after =
      judge_selftest(found("warning", "WARNING in f"), "mm:t", printed("1..2\nnot ok 1 a\n"));
  EXPECT_THAT(titles(after), ElementsAre("WARNING in f", "mm:t: not ok 1 a"));
}

TEST(JudgeSelftest, APlanCountsWhereNothingElseWasFound) {
  const SelftestOutput output = printed("1..2\nok 1 a\n");
  EXPECT_THAT(titles(judge_selftest(kPassed, "mm:t", output)),
              ElementsAre("mm:t: planned 2, saw 1"));
  EXPECT_THAT(titles(judge_selftest(found("hang", "hang in f"), "mm:t", output)),
              ElementsAre("hang in f"));
}

TEST(JudgeSelftest, SkippedAsAWhole) {
  const Verdict all = judge_selftest(kPassed, "mm:t", printed("1..1\nok 1 # SKIP no pages\n"));
  EXPECT_EQ(all.outcome, Outcome::kSkipped);
  EXPECT_EQ(all.reason, "the test says: no pages");
  const Verdict status{Outcome::kSkipped, "exit status 4", {}};
  EXPECT_EQ(judge_selftest(status, "mm:t", printed("hello\nneeds root\n\n")).reason,
            "the test says: needs root");
  EXPECT_EQ(judge_selftest(status, "mm:t", printed("")).reason, "exit status 4");
  EXPECT_EQ(judge_selftest(status, "mm:t", printed("not ok 1 a\n")).outcome, Outcome::kFound);
  EXPECT_EQ(judge_selftest(kPassed, "mm:t", printed("ok 1 a\nok 2 # SKIP\n")).outcome,
            Outcome::kPassed);
}

TEST(JudgeSelftest, BrokenStaysBroken) {
  const Verdict broken{Outcome::kBroken, "host failure", {}};
  const Verdict after = judge_selftest(broken, "mm:t", printed("not ok 1 a\n"));
  EXPECT_EQ(after.outcome, Outcome::kBroken);
  EXPECT_THAT(after.findings, IsEmpty());
}

class ReadSelftestOutput : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "selftest-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    dir_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }
  SelftestOutput read(const std::vector<std::string>& lines, bool cut = false) const {
    std::ofstream file(dir_ / "records");
    for (const std::string& line : lines) file << line << "\n";
    file.close();
    auto output = read_selftest_output(dir_ / "records", dir_ / "copy", cut);
    EXPECT_TRUE(output) << output.error().message;
    return output ? *output : SelftestOutput{};
  }
  static std::string piece(std::uint64_t number, const std::string& text) {
    return to_json(Note{output_note({number, text})});
  }

  std::filesystem::path dir_;
};

TEST_F(ReadSelftestOutput, PiecesAreOneText) {
  const SelftestOutput output =
      read({to_json(Note{"a note"}), piece(0, "1..2\nok 1 a\nno"), "garbage", "{\"type\":7}",
            to_json(Note{"output x\n1..9\n"}), piece(1, "t ok 2 bee\n")});
  EXPECT_THAT(output.ktap.failures, ElementsAre("not ok 2 bee"));
  EXPECT_FALSE(output.ktap.cut);
  std::ifstream copy(dir_ / "copy");
  const std::string text((std::istreambuf_iterator<char>(copy)), std::istreambuf_iterator<char>());
  EXPECT_EQ(text, "1..2\nok 1 a\nnot ok 2 bee\n");
  EXPECT_EQ(text, output.tail);
}

TEST_F(ReadSelftestOutput, APieceThatIsMissingExcusesThePlan) {
  const SelftestOutput output = read({piece(0, "1..9\n"), piece(2, "k 2 half\nok 9 last\n")});
  EXPECT_TRUE(output.ktap.cut);
  EXPECT_EQ(output.ktap.passed, 1U);
  EXPECT_THAT(output.ktap.plan_faults, IsEmpty());
  EXPECT_TRUE(read({piece(0, "1..2\n")}, true).ktap.cut);
}

TEST_F(ReadSelftestOutput, RecordsThatAreNotThereAreAnError) {
  EXPECT_FALSE(read_selftest_output(dir_ / "none", dir_ / "copy", false));
}

}  // namespace
}  // namespace mmquake
