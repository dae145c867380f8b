// SPDX-License-Identifier: GPL-2.0-or-later
//
// Kills a soak before each SQL statement that it runs, its continuation somewhere later, and lets
// the third go to its end: no trial may be lost, none counted twice.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "host/campaign/soak_fakes.h"

namespace mmquake {
namespace {

namespace fs = std::filesystem;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr int kKilled = 99;
constexpr std::uint64_t kTrials = 5;

int statements_left = 0;

int on_statement(unsigned, void*, void*, void*) {
  // No destructor, no atexit: as a SIGKILL leaves it.
  if (--statements_left == 0) _exit(kKilled);
  return 0;
}

// SQLite calls this for every database that is opened.
int watch(sqlite3* database, char**, const struct sqlite3_api_routines*) {
  return sqlite3_trace_v2(database, SQLITE_TRACE_STMT, on_statement, nullptr);
}

Result<TrialResult> fake_trial(std::uint64_t number) {
  if (number == 2) return found_trial("hang in f");
  if (number == 4) return broken_trial("no boot");
  return passed_trial();
}

// Kernels whose times never come close to a tie: what a restart costs must not change the order.
std::vector<CampaignItem> fake_items() {
  return {fake_item("a", "k"), fake_item("b", "k"), fake_item("c", "other", 26.3)};
}

StoredCampaign fake_campaign(const fs::path& root) {
  StoredCampaign out;
  out.name = "c";
  out.seed = 7;
  out.budget_trials = kTrials;
  out.directory = root / "soak-c";
  return out;
}

// What a process does: makes the campaign unless there is one, and runs it to its end.
int soak(const fs::path& root) {
  auto store = Store::open(root / "store.sqlite");
  if (!store) return 1;
  auto all = store->campaigns();
  if (!all) return 2;
  if (all->empty()) {
    if (!store->add_campaign(fake_campaign(root))) return 3;
    all = store->campaigns();
  }
  if (!all || all->size() != 1) return 4;
  FakeWorld world(
      [](const auto&, std::uint64_t number, const auto&) { return fake_trial(number); });
  FakeListener listener;
  SoakSettings settings = quick_settings();
  settings.back_off.first = 0;
  Soak soak(all->front(), fake_items(), *store, world, listener, settings);
  auto end = soak.run();
  return end && *end == SoakEnd::kBudget ? 0 : 5;
}

// In a process of its own, which is killed before its `statements`th statement; 0: never.
int soak_killed_at(const fs::path& root, int statements) {
  const pid_t child = fork();
  if (child == 0) {
    statements_left = statements;
    sqlite3_auto_extension(reinterpret_cast<void (*)()>(watch));
    _exit(soak(root));
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  return WEXITSTATUS(status);
}

std::vector<std::string> items_of(const std::vector<StoredTrial>& trials) {
  std::vector<std::string> out;
  out.reserve(trials.size());
  for (const StoredTrial& trial : trials) out.push_back(trial.item);
  return out;
}

class SoakKillTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "soak-kill-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    root_ = name;
    ASSERT_EQ(soak_killed_at(root_ / "whole", 0), 0);
    expected_ = trials_in(root_ / "whole");
    ASSERT_THAT(expected_, SizeIs(kTrials));
  }
  void TearDown() override { fs::remove_all(root_); }

  static std::vector<StoredTrial> trials_in(const fs::path& root) {
    auto store = Store::open(root / "store.sqlite");
    EXPECT_TRUE(store) << store.error().message;
    if (!store) return {};
    EXPECT_THAT(store->faults().value(), IsEmpty());
    const auto campaigns = store->campaigns().value();
    EXPECT_THAT(campaigns, SizeIs(1));
    EXPECT_GT(campaigns.at(0).ended_at, 0);
    return store->trials(campaigns.at(0).id).value();
  }

  void expect_as_uninterrupted(const fs::path& root) const {
    const std::vector<StoredTrial> trials = trials_in(root);
    ASSERT_THAT(trials, SizeIs(kTrials));
    EXPECT_EQ(items_of(trials), items_of(expected_));
    for (std::size_t i = 0; i < trials.size(); ++i) {
      EXPECT_EQ(trials[i].number, i + 1);
      EXPECT_EQ(trials[i].state, TrialState::kEnded);
      EXPECT_EQ(trials[i].verdict, expected_[i].verdict);
      EXPECT_EQ(trials[i].seed, expected_[i].seed);
      EXPECT_EQ(trials[i].rounds, expected_[i].rounds);
      EXPECT_THAT(trials[i].findings, SizeIs(expected_[i].findings.size()));
      EXPECT_LE(trials[i].attempt, 3);
    }
  }

  fs::path root_;
  std::vector<StoredTrial> expected_;
};

TEST_F(SoakKillTest, NoTrialIsLostAndNoneCountedTwice) {
  int killed = 0;
  int killed_again = 0;
  for (int at = 1;; ++at) {
    const fs::path root = root_ / std::to_string(at);
    const int code = soak_killed_at(root, at);
    if (code == 0) break;
    ASSERT_EQ(code, kKilled) << "before statement " << at;
    ++killed;
    // Somewhere else each time; some end before that.
    const int second = soak_killed_at(root, 10 + at * 7 % 90);
    ASSERT_TRUE(second == kKilled || second == 0) << second;
    killed_again += second == kKilled ? 1 : 0;
    ASSERT_EQ(soak_killed_at(root, 0), 0);
    expect_as_uninterrupted(root);
    if (HasFailure()) FAIL() << "killed before statement " << at;
    fs::remove_all(root);
  }
  // Opening, planning, starting and ending of five trials.
  EXPECT_GT(killed, 50);
  EXPECT_GT(killed_again, 10);
}

}  // namespace
}  // namespace mmquake
