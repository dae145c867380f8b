// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/store/store.h"

#include <SQLiteCpp/SQLiteCpp.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

namespace mmquake {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class StoreTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "store-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    root_ = name;
    path_ = root_ / "below" / "store.sqlite";
    auto opened = Store::open(path_);
    ASSERT_TRUE(opened) << opened.error().message;
    store_.emplace(std::move(*opened));
    StoredCampaign campaign;
    campaign.name = "nightly";
    campaign.spec = "summary = \"s\"\n";
    campaign.seed = 0xfedcba9876543210;
    campaign.budget_seconds = 60;
    campaign.started_at = 1000.5;
    campaign.directory = "/d";
    id_ = store_->add_campaign(campaign).value();
  }
  void TearDown() override { fs::remove_all(root_); }

  StoredTrial trial(std::uint64_t number) const {
    StoredTrial out;
    out.campaign = id_;
    out.number = number;
    out.item = "one on clean";
    out.kernel = "clean";
    out.machine = "m";
    out.case_name = "one";
    out.workload = "w";
    out.params = {{"a", "1"}, {"b", "it's \"x\""}};
    out.seed = 0x8000000000000001;
    return out;
  }
  StoredTrial ended(std::uint64_t number, Outcome verdict) const {
    StoredTrial out = trial(number);
    out.attempt = 1;
    out.verdict = verdict;
    out.seconds = 20;
    out.rounds = 7;
    out.migrations = 8;
    out.overlaps = 9;
    out.repeat = "mmquake repro one";
    out.new_log_shapes = {"Soft offlining pfn #", "\"quoted\""};
    if (verdict == Outcome::kFound) {
      out.findings.push_back({"hang in f", "hang", "oracle", "hang: hang in f", 1.5, 3});
    }
    return out;
  }

  fs::path root_, path_;
  std::optional<Store> store_;
  std::int64_t id_ = 0;
};

TEST_F(StoreTest, KeepsWhatItWasTold) {
  ASSERT_TRUE(store_->plan_trial(trial(1)));
  EXPECT_EQ(store_->start_trial(id_, 1, 1001).value(), 1);
  ASSERT_TRUE(store_->end_trial(ended(1, Outcome::kFound), 21));
  store_.reset();
  auto again = Store::open(path_);
  ASSERT_TRUE(again) << again.error().message;
  const StoredCampaign campaign = again->campaign(id_).value();
  EXPECT_EQ(campaign.name, "nightly");
  EXPECT_EQ(campaign.seed, 0xfedcba9876543210);
  EXPECT_DOUBLE_EQ(campaign.used_seconds, 21);
  EXPECT_DOUBLE_EQ(campaign.ended_at, 0);
  const auto trials = again->trials(id_).value();
  ASSERT_THAT(trials, SizeIs(1));
  EXPECT_EQ(trials[0].state, TrialState::kEnded);
  EXPECT_EQ(trials[0].verdict, Outcome::kFound);
  EXPECT_EQ(trials[0].params, trial(1).params);
  EXPECT_EQ(trials[0].seed, 0x8000000000000001);
  EXPECT_EQ(trials[0].overlaps, 9U);
  EXPECT_EQ(trials[0].new_log_shapes, ended(1, Outcome::kFound).new_log_shapes);
  ASSERT_THAT(trials[0].findings, SizeIs(1));
  EXPECT_EQ(trials[0].findings[0].title, "hang in f");
  EXPECT_EQ(trials[0].findings[0].round, 3U);
  EXPECT_THAT(again->faults().value(), IsEmpty());
}

TEST_F(StoreTest, ATrialIsCountedOnce) {
  ASSERT_TRUE(store_->plan_trial(trial(1)));
  EXPECT_FALSE(store_->plan_trial(trial(1))) << "its number is taken";
  EXPECT_FALSE(store_->end_trial(ended(1, Outcome::kPassed), 1)) << "it does not run";
  EXPECT_EQ(store_->start_trial(id_, 1, 1).value(), 1);
  EXPECT_EQ(store_->start_trial(id_, 1, 2).value(), 2) << "the first was killed";
  EXPECT_FALSE(store_->end_trial(ended(1, Outcome::kPassed), 1)) << "attempt 1 is not the last";
  StoredTrial second = ended(1, Outcome::kPassed);
  second.attempt = 2;
  ASSERT_TRUE(store_->end_trial(second, 1));
  EXPECT_FALSE(store_->end_trial(second, 1)) << "it has ended";
  EXPECT_FALSE(store_->start_trial(id_, 1, 3)) << "it has ended";
  EXPECT_FALSE(store_->start_trial(id_, 2, 3)) << "it was never planned";
}

TEST_F(StoreTest, FindingsComeWithTheirTrialOrNotAtAll) {
  ASSERT_TRUE(store_->plan_trial(trial(1)));
  ASSERT_TRUE(store_->start_trial(id_, 1, 1));
  StoredTrial twice = ended(1, Outcome::kFound);
  twice.findings.push_back(twice.findings[0]);
  EXPECT_FALSE(store_->end_trial(twice, 1)) << "one signature, two findings";
  const auto trials = store_->trials(id_).value();
  EXPECT_EQ(trials[0].state, TrialState::kRunning);
  EXPECT_THAT(trials[0].findings, IsEmpty());
}

TEST_F(StoreTest, AnInterruptedTrialWaitsForItsTurn) {
  ASSERT_TRUE(store_->plan_trial(trial(1)));
  ASSERT_TRUE(store_->start_trial(id_, 1, 1));
  ASSERT_TRUE(store_->give_back(id_, 1, 5));
  EXPECT_EQ(store_->trials(id_).value()[0].state, TrialState::kPlanned);
  EXPECT_EQ(store_->start_trial(id_, 1, 2).value(), 2);
}

TEST_F(StoreTest, EndsAndGoesOnWithANewBudget) {
  ASSERT_TRUE(store_->end_campaign(id_, 61, 2000));
  EXPECT_DOUBLE_EQ(store_->campaign(id_).value().ended_at, 2000);
  ASSERT_TRUE(store_->reopen(id_, 120, 5));
  const StoredCampaign campaign = store_->campaign(id_).value();
  EXPECT_DOUBLE_EQ(campaign.ended_at, 0);
  EXPECT_DOUBLE_EQ(campaign.budget_seconds, 120);
  EXPECT_EQ(campaign.budget_trials, 5U);
  EXPECT_DOUBLE_EQ(campaign.used_seconds, 61);
}

TEST_F(StoreTest, UnknownCampaignIsAUsageError) {
  const auto missing = store_->campaign(77);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().kind, ErrorKind::kUsage);
}

TEST_F(StoreTest, FaultsAreNamed) {
  SQLite::Database raw(path_, SQLite::OPEN_READWRITE);
  ASSERT_TRUE(store_->plan_trial(trial(2)));
  EXPECT_THAT(store_->faults().value(), testing::ElementsAre(HasSubstr("up to 2, but 1")));
  ASSERT_TRUE(store_->plan_trial(trial(1)));
  ASSERT_TRUE(store_->start_trial(id_, 1, 1));
  StoredTrial empty = ended(1, Outcome::kFound);
  empty.findings.clear();
  ASSERT_TRUE(store_->end_trial(empty, 1));
  EXPECT_THAT(store_->faults().value(), testing::ElementsAre(HasSubstr("without a finding")));
  ASSERT_TRUE(store_->start_trial(id_, 2, 1));
  ASSERT_TRUE(store_->end_campaign(id_, 1, 1));
  raw.exec("UPDATE trial SET verdict = 'passed' WHERE number = 1");
  EXPECT_THAT(store_->faults().value(), testing::ElementsAre(HasSubstr("trial 2 has not")));
  raw.exec("INSERT INTO finding VALUES (9, 2, 't', 'k', 's', 'g', 0, 0)");
  EXPECT_THAT(store_->faults().value(), testing::Contains(HasSubstr("a finding, but passed")));
}

TEST_F(StoreTest, RefusesWhatIsNoStore) {
  const fs::path other = root_ / "other.sqlite";
  SQLite::Database(other, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE)
      .exec("CREATE TABLE t (a INTEGER)");
  EXPECT_THAT(Store::open(other).error().message, HasSubstr("no store"));
  std::ofstream(root_ / "text") << std::string(5000, 'x');
  EXPECT_THAT(Store::open(root_ / "text").error().message, HasSubstr("not a database"));
  EXPECT_FALSE(Store::open("/proc/mmquake/store.sqlite"));
  SQLite::Database(path_, SQLite::OPEN_READWRITE).exec("PRAGMA user_version = 99");
  EXPECT_THAT(Store::open(path_).error().message, HasSubstr("use a newer one"));
}

// What an mmquake of schema 1 left.
void make_version_1(const fs::path& path) {
  SQLite::Database raw(path, SQLite::OPEN_READWRITE);
  raw.exec(
      "DROP TABLE finding; CREATE TABLE finding (id INTEGER PRIMARY KEY, trial INTEGER NOT NULL "
      "REFERENCES trial(id), title TEXT NOT NULL, kind TEXT NOT NULL, source TEXT NOT NULL, "
      "signature TEXT NOT NULL, seconds REAL NOT NULL, round INTEGER NOT NULL, UNIQUE (trial, "
      "title)) STRICT; CREATE INDEX finding_signature ON finding(signature)");
  raw.exec(
      "INSERT INTO finding VALUES (1, 1, 'hang in f', 'hang', 'oracle', 'hang: hang in f', 1.5, 3),"
      "(2, 1, 'general protection fault in g', 'oops', 'console', 'old', 2, 0),"
      "(3, 1, 'BUG: unable to handle kernel paging request in g', 'oops', 'console', 'old2', 3, "
      "0)");
  raw.exec("ALTER TABLE trial DROP COLUMN new_log_shapes; PRAGMA user_version = 1");
}

TEST_F(StoreTest, BringsAnOlderFileUpToDate) {
  ASSERT_TRUE(store_->plan_trial(trial(1)));
  ASSERT_TRUE(store_->start_trial(id_, 1, 1));
  ASSERT_TRUE(store_->end_trial(ended(1, Outcome::kFound), 1));
  store_.reset();
  make_version_1(path_);
  for (int time = 0; time < 2; ++time) {
    auto again = Store::open(path_);
    ASSERT_TRUE(again) << again.error().message;
    const auto findings = again->trials(id_).value()[0].findings;
    EXPECT_THAT(again->trials(id_).value()[0].new_log_shapes, IsEmpty()) << "it had none";
    ASSERT_THAT(findings, SizeIs(2)) << "one bug, seen as two sorts of bad access";
    EXPECT_EQ(findings[0].signature, "hang: hang in f");
    EXPECT_EQ(findings[0].round, 3U);
    EXPECT_EQ(findings[1].signature, "oops: bad access in g");
    EXPECT_EQ(findings[1].title, "general protection fault in g");
    EXPECT_THAT(again->faults().value(), IsEmpty());
  }
}

TEST_F(StoreTest, TwoProcessesMayWrite) {
  auto other = Store::open(path_);
  ASSERT_TRUE(other) << other.error().message;
  const std::int64_t second = other->add_campaign({}).value();
  EXPECT_NE(second, id_);
  ASSERT_TRUE(store_->plan_trial(trial(1)));
  StoredTrial theirs = trial(1);
  theirs.campaign = second;
  ASSERT_TRUE(other->plan_trial(theirs));
  EXPECT_THAT(store_->trials(id_).value(), SizeIs(1));
  EXPECT_THAT(store_->campaigns().value(), SizeIs(2));
}

}  // namespace
}  // namespace mmquake
