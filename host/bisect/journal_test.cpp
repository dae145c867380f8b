// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/bisect/journal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "host/bisect/graphs_for_tests.h"

namespace mmquake::bisect {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

Question a_question() {
  Question out;
  out.range.repository = "/src/linux";
  out.range.good = {{"a1", "Linux 6.1", {}}, {"a2", "", {}}};
  out.range.bad = {"b1", "mm: \"quoted\" \xff and more", {}};
  out.confidence = 0.9;
  out.seed = UINT64_MAX;
  out.build = "make";
  out.run = "./test 'x'";
  return out;
}

std::vector<Record> some_records() {
  return {a_question(), BuildRecord{"c1", {BuildEnd::kBuilt, "", 4, false}},
          TrialRecord{"c1", 77, {TrialEnd::kFound, "hang in f", "", 1.5}},
          TrialRecord{"c1", 78, {TrialEnd::kBroken, "", "no\nboot", 0.25}},
          BuildRecord{"c2", {BuildEnd::kSkipped, "does not compile", 2, true}}};
}

class JournalTest : public testing::Test {
 protected:
  JournalTest() : file_(scratch_.path() / "journal.jsonl") {}
  void write_all() {
    auto journal = Journal::open(file_);
    ASSERT_TRUE(journal) << journal.error().message;
    for (const Record& record : some_records()) ASSERT_TRUE(journal->append(record));
  }
  Scratch scratch_;
  fs::path file_;
};

TEST_F(JournalTest, GivesBackWhatItWasTold) {
  write_all();
  const auto journal = Journal::open(file_);
  ASSERT_TRUE(journal) << journal.error().message;
  ASSERT_THAT(journal->records(), SizeIs(5));
  const Question question = question_of(journal->records());
  EXPECT_EQ(question.range.repository, "/src/linux");
  EXPECT_EQ(question.range.good.at(0).subject, "Linux 6.1");
  EXPECT_EQ(question.range.bad.id, "b1");
  EXPECT_EQ(question.confidence, 0.9);
  EXPECT_EQ(question.seed, UINT64_MAX);
  EXPECT_EQ(question.run, "./test 'x'");
  const auto& found = std::get<TrialRecord>(journal->records()[2]);
  EXPECT_EQ(found.outcome.end, TrialEnd::kFound);
  EXPECT_EQ(found.outcome.signature, "hang in f");
  EXPECT_EQ(found.outcome.seconds, 1.5);
  EXPECT_EQ(found.seed, 77U);
  EXPECT_EQ(std::get<TrialRecord>(journal->records()[3]).outcome.reason, "no\nboot");
  const auto& skipped = std::get<BuildRecord>(journal->records()[4]);
  EXPECT_EQ(skipped.result.end, BuildEnd::kSkipped);
  EXPECT_TRUE(skipped.result.from_cache);
}

TEST_F(JournalTest, TornAtEveryByteItKeepsItsWholeLines) {
  write_all();
  const std::string whole = kernel::text_of(file_);
  for (std::size_t size = 0; size <= whole.size(); ++size) {
    std::ofstream(file_) << whole.substr(0, size);
    {
      auto journal = Journal::open(file_);
      ASSERT_TRUE(journal) << size << ": " << journal.error().message;
      const auto lines = std::count(whole.begin(), whole.begin() + size, '\n');
      ASSERT_THAT(journal->records(), SizeIs(lines)) << size;
      if (lines == 0) continue;
      ASSERT_TRUE(journal->append(TrialRecord{"c3", 1, {}}));
    }
    const auto again = Journal::open(file_);
    ASSERT_TRUE(again) << size << ": " << again.error().message;
    ASSERT_EQ(std::get<TrialRecord>(again->records().back()).commit, "c3");
  }
}

TEST_F(JournalTest, ALastLineOfZerosIsTorn) {
  write_all();
  std::ofstream(file_, std::ios::app) << std::string(50, '\0') << '\n';
  const auto journal = Journal::open(file_);
  ASSERT_TRUE(journal) << journal.error().message;
  EXPECT_THAT(journal->records(), SizeIs(5));
}

TEST_F(JournalTest, WhatIsDamagedInTheMiddleIsNotGuessed) {
  write_all();
  const std::string whole = kernel::text_of(file_);
  std::string bad = whole;
  bad[bad.find('\n') + 3] = '\0';
  std::ofstream(file_) << bad;
  const auto damaged = Journal::open(file_);
  ASSERT_FALSE(damaged);
  EXPECT_THAT(damaged.error().message, HasSubstr("line 2"));
  // Without its question the rest means nothing.
  std::ofstream(file_) << whole.substr(whole.find('\n') + 1);
  EXPECT_THAT(Journal::open(file_).error().message, HasSubstr("line 1"));
}

TEST_F(JournalTest, ANewQuestionReplacesTheOld) {
  write_all();
  auto journal = Journal::open(file_);
  ASSERT_TRUE(journal);
  Question question = a_question();
  question.confidence = 0.99;
  ASSERT_TRUE(journal->append(question));
  EXPECT_EQ(question_of(Journal::open(file_)->records()).confidence, 0.99);
}

TEST_F(JournalTest, ATrialInAVmComesBack) {
  Question question = a_question();
  VmTrial trial;
  trial.workload = "migrate-verify";
  trial.params = {{"backing", "anon-thp"}};
  trial.machine = "numa2";
  trial.seconds = 2.5;
  trial.widen.resize(1);
  trial.widen[0].site = "mm/rmap.c:7";
  trial.widen[0].max_us = 100;
  trial.bugs = {"a-switch"};
  question.vm = trial;
  ASSERT_TRUE(Journal::open(file_)->append(question));
  const Question back = question_of(Journal::open(file_)->records());
  ASSERT_TRUE(back.vm);
  EXPECT_EQ(to_json(*back.vm), to_json(trial));
  std::string text = kernel::text_of(file_);
  text.replace(text.find("\"seconds\":2.5"), 13, "\"seconds\":\"2\"");
  std::ofstream(file_) << text << text;
  EXPECT_FALSE(Journal::open(file_));
}

TEST_F(JournalTest, AnEmptyOneHasNoRecords) {
  const auto journal = Journal::open(file_);
  ASSERT_TRUE(journal);
  EXPECT_THAT(journal->records(), IsEmpty());
}

}  // namespace
}  // namespace mmquake::bisect
