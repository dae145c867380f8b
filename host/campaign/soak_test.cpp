// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/campaign/soak.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <condition_variable>
#include <csignal>
#include <cstdlib>

#include "host/campaign/soak_fakes.h"

namespace mmquake {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class SoakTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "soak-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    root_ = name;
    auto opened = Store::open(root_ / "store.sqlite");
    ASSERT_TRUE(opened) << opened.error().message;
    store_.emplace(std::move(*opened));
    campaign_.name = "c";
    campaign_.seed = 7;
    campaign_.budget_trials = 6;
    campaign_.directory = root_ / "soak-c";
    campaign_.id = store_->add_campaign(campaign_).value();
  }
  void TearDown() override { fs::remove_all(root_); }

  Result<SoakEnd> run(FakeWorld& world) {
    const StoredCampaign now = store_->campaign(campaign_.id).value();
    campaign_.used_seconds = now.used_seconds;
    Soak soak(campaign_, items_, *store_, world, listener_, settings_);
    return soak.run();
  }
  std::vector<StoredTrial> trials() const { return store_->trials(campaign_.id).value(); }

  fs::path root_;
  std::optional<Store> store_;
  StoredCampaign campaign_;
  std::vector<CampaignItem> items_ = {fake_item("a", "k"), fake_item("b", "k"),
                                      fake_item("c", "other")};
  FakeListener listener_;
  SoakSettings settings_ = quick_settings();
};

TEST_F(SoakTest, RunsItsNumberOfTrials) {
  FakeWorld world([](const TrialPlan& plan, std::uint64_t number, const TrialObserver&) {
    EXPECT_EQ(plan.guest.seed, trial_seed(7, number));
    return passed_trial();
  });
  ASSERT_EQ(run(world).value(), SoakEnd::kBudget);
  const auto all = trials();
  ASSERT_THAT(all, SizeIs(6));
  for (const StoredTrial& trial : all) {
    EXPECT_EQ(trial.state, TrialState::kEnded);
    EXPECT_EQ(trial.verdict, Outcome::kPassed);
    EXPECT_EQ(trial.attempt, 1);
    EXPECT_EQ(trial.kernel_key, "key-" + trial.kernel);
    EXPECT_EQ(trial.migrations, 30U);
    EXPECT_EQ(trial.repeat, "repeat --seed " + std::to_string(trial.seed));
  }
  EXPECT_THAT(listener_.trials, SizeIs(6));
  EXPECT_GT(store_->campaign(campaign_.id).value().ended_at, 0);
  EXPECT_THAT(store_->faults().value(), IsEmpty());
}

TEST_F(SoakTest, NoTrialStartsThatTheTimeLeftDoesNotHold) {
  campaign_.budget_trials = 0;
  campaign_.budget_seconds = 110;
  FakeWorld world([](const auto&, auto, const auto&) { return passed_trial(); });
  ASSERT_EQ(run(world).value(), SoakEnd::kBudget);
  EXPECT_THAT(trials(), SizeIs(5));
  EXPECT_LE(store_->campaign(campaign_.id).value().used_seconds, 110);
}

TEST_F(SoakTest, FindingsDoNotStopIt) {
  FakeWorld world([](const auto&, auto, const auto&) { return found_trial("hang in f"); });
  ASSERT_EQ(run(world).value(), SoakEnd::kBudget);
  EXPECT_THAT(trials(), AllOf(SizeIs(6), Each(testing::Field(&StoredTrial::findings, SizeIs(1)))));
  EXPECT_EQ(listener_.last.counts.found, 5U) << "as it was while the last one ran";
}

TEST_F(SoakTest, AKernelThatKeepsFailingIsParkedAndTheOthersGoOn) {
  campaign_.budget_trials = 60;
  FakeWorld world([](const TrialPlan& plan, auto, const auto&) {
    return plan.kernel.name == "k" ? broken_trial("host failure: QEMU") : passed_trial();
  });
  ASSERT_EQ(run(world).value(), SoakEnd::kBudget);
  std::map<Outcome, int> count;
  for (const StoredTrial& trial : trials()) ++count[trial.verdict];
  EXPECT_LT(count[Outcome::kBroken], 9);
  EXPECT_GT(count[Outcome::kPassed], 50);
  EXPECT_EQ(count[Outcome::kFound], 0);
  EXPECT_THAT(listener_.notes, Contains(HasSubstr("parked")));
  EXPECT_THAT(listener_.last.waiting, Contains(HasSubstr("k is parked")));
  EXPECT_THAT(world.forgotten, Each("k"));
}

TEST_F(SoakTest, AKernelThatVanishesIsBrokenAndNeverAFinding) {
  FakeWorld world([](const auto&, auto, const auto&) { return passed_trial(); });
  world.unprepared["k"] = {ErrorKind::kUsage, "kernel 'k': there is no such file"};
  ASSERT_EQ(run(world).value(), SoakEnd::kBudget);
  for (const StoredTrial& trial : trials()) {
    EXPECT_EQ(trial.verdict, trial.kernel == "k" ? Outcome::kBroken : Outcome::kPassed);
    EXPECT_THAT(trial.reason, HasSubstr(trial.kernel == "k" ? "no such file" : ""));
  }
}

TEST_F(SoakTest, WhatTheKernelLacksIsSkippedOnce) {
  FakeWorld world([](const auto&, auto, const auto&) { return passed_trial(); });
  world.unprepared["other"] = {ErrorKind::kSkipped, "no such node"};
  ASSERT_EQ(run(world).value(), SoakEnd::kBudget);
  int skipped = 0;
  for (const StoredTrial& trial : trials()) skipped += trial.verdict == Outcome::kSkipped ? 1 : 0;
  EXPECT_EQ(skipped, 1);
}

TEST_F(SoakTest, EachTrialOfACompositionHasItsOwn) {
  items_ = {fake_item("compose", "k")};
  items_[0].composed = true;
  campaign_.budget_trials = 30;
  std::set<std::string> ran;
  FakeWorld world([&](const TrialPlan& plan, auto, const auto&) {
    const Composition drawn = Composition::from_params(plan.guest.params);
    EXPECT_FALSE(objection(drawn)) << drawn.text();
    ran.insert(drawn.text());
    TrialResult out = passed_trial();
    // What one composition lacks does not end the others.
    if (drawn[Slot::kBacking] == "swap") out.verdict = {Outcome::kSkipped, "no swap", {}};
    return out;
  });
  ASSERT_EQ(run(world).value(), SoakEnd::kBudget);
  const auto all = trials();
  ASSERT_THAT(all, SizeIs(30));
  EXPECT_GT(ran.size(), 25U);
  for (const StoredTrial& trial : all) {
    EXPECT_TRUE(ran.contains(Composition::from_params(trial.params).text()));
  }
}

TEST_F(SoakTest, AResumedCompositionIsTheOneThatWasPlanned) {
  items_ = {fake_item("compose", "k")};
  items_[0].composed = true;
  WidenSite site;
  site.site = "f";
  items_[0].widen_choices = {site};
  std::string planned;
  FakeWorld first([&](const TrialPlan& plan, std::uint64_t number, const auto&) {
    if (number < 4) return passed_trial();
    planned = Composition::from_params(plan.guest.params).text();
    planned += plan.guest.widen.empty() ? "" : " widened";
    first.stop = true;
    TrialResult out = broken_trial("interrupted");
    out.end = TrialEnd::kInterrupted;
    return out;
  });
  ASSERT_EQ(run(first).value(), SoakEnd::kInterrupted);
  FakeWorld second([&](const TrialPlan& plan, std::uint64_t number, const auto&) {
    std::string text = Composition::from_params(plan.guest.params).text();
    text += plan.guest.widen.empty() ? "" : " widened";
    EXPECT_TRUE(number != 4 || text == planned) << text;
    return passed_trial();
  });
  ASSERT_EQ(run(second).value(), SoakEnd::kBudget);
}

TEST_F(SoakTest, HalfOfTheCompositionsAreWidenedAtSomeSites) {
  items_ = {fake_item("compose", "k")};
  items_[0].composed = true;
  for (const char* site : {"a", "b", "c", "d", "e", "f"}) {
    items_[0].widen_choices.emplace_back().site = site;
    items_[0].widen_choices.back().probability = 0.1;
  }
  campaign_.budget_trials = 400;
  std::map<std::string, int> drawn;
  std::map<std::string, int> roles;
  int widened = 0;
  FakeWorld world([&](const TrialPlan& plan, auto, const auto&) {
    widened += plan.guest.widen.empty() ? 0 : 1;
    for (const WidenSite& site : plan.guest.widen) {
      ++drawn[site.site];
      ++roles[site.comm];
      EXPECT_EQ(site.probability, site.comm.empty() ? 0.1 : 0.4);
      EXPECT_TRUE(site.comm.empty() || site.comm == "writer" ||
                  plan.guest.params.at(site.comm) != kNoWord);
    }
    return passed_trial();
  });
  ASSERT_EQ(run(world).value(), SoakEnd::kBudget);
  // Five standard deviations of 400 fair draws are 50.
  EXPECT_NEAR(widened, 200, 50);
  ASSERT_EQ(drawn.size(), 6U);
  int sites = 0;
  for (const auto& [site, count] : drawn) {
    EXPECT_NEAR(count, widened / 3.0, 40) << site;
    sites += count;
  }
  // Five standard deviations of some 400 sites.
  EXPECT_NEAR(roles[""], sites / 2.0, 50);
  EXPECT_EQ(roles.size(), 6U);
}

TEST_F(SoakTest, ALogShapeIsNewOnceInACampaign) {
  const auto run_trial = [](FakeWorld& world, std::uint64_t number) {
    TrialResult out = passed_trial();
    out.log_shapes = {"always"};
    if (number > 2) out.log_shapes.insert("from the third on");
    if (number == 2) world.stop = true;
    return out;
  };
  FakeWorld first(
      [&](const auto&, std::uint64_t number, const auto&) { return run_trial(first, number); });
  ASSERT_EQ(run(first).value(), SoakEnd::kInterrupted);
  FakeWorld second(
      [&](const auto&, std::uint64_t number, const auto&) { return run_trial(second, number); });
  ASSERT_EQ(run(second).value(), SoakEnd::kBudget);
  const auto all = trials();
  ASSERT_GT(all.size(), 3U);
  EXPECT_THAT(all[0].new_log_shapes, testing::ElementsAre("always"));
  EXPECT_THAT(all[1].new_log_shapes, testing::IsEmpty());
  EXPECT_THAT(all[2].new_log_shapes, testing::ElementsAre("from the third on"));
  EXPECT_THAT(all[3].new_log_shapes, testing::IsEmpty());
}

CampaignItem composed_item(std::uint64_t trials_per_boot) {
  CampaignItem out = fake_item("", "k");
  out.workload = kComposeWorkload;
  out.composed = true;
  out.trials_per_boot = trials_per_boot;
  return out;
}

TEST_F(SoakTest, AVmRunsItsNumberOfTrials) {
  items_ = {composed_item(3)};
  std::vector<bool> kept;
  FakeWorld world([&](const TrialPlan& plan, std::uint64_t, const TrialObserver&) {
    kept.push_back(plan.keeps_vm);
    return passed_trial();
  });
  ASSERT_EQ(run(world).value(), SoakEnd::kBudget);
  EXPECT_THAT(kept, testing::ElementsAre(true, true, false, true, true, false));
  EXPECT_THAT(world.before[1], IsEmpty());
  EXPECT_THAT(world.before[3], testing::ElementsAre("trial-000001", "trial-000002"));
  EXPECT_THAT(world.before[4], IsEmpty());
}

TEST_F(SoakTest, AVmInWhichSomethingWasFoundIsNotUsedAgain) {
  items_ = {composed_item(10)};
  FakeWorld world([&](const TrialPlan&, std::uint64_t number, const TrialObserver&) {
    return number == 2 ? found_trial("hang in f") : passed_trial();
  });
  ASSERT_EQ(run(world).value(), SoakEnd::kBudget);
  EXPECT_THAT(world.before[2], SizeIs(1));
  EXPECT_THAT(world.before[3], IsEmpty());
  EXPECT_THAT(world.before[6], SizeIs(3));
}

// What a VM lacks after some trials, a kernel need not lack.
TEST_F(SoakTest, ATrialThatBreaksInAUsedVmIsRunAgainInOneOfItsOwn) {
  items_ = {composed_item(10)};
  campaign_.budget_trials = 4;
  int tries = 0;
  FakeWorld world([&](const TrialPlan&, std::uint64_t number, const TrialObserver&) {
    if (number != 3) return passed_trial();
    return ++tries == 1 ? broken_trial("no huge page") : passed_trial();
  });
  ASSERT_EQ(run(world).value(), SoakEnd::kBudget);
  EXPECT_EQ(tries, 2);
  const auto all = trials();
  ASSERT_THAT(all, SizeIs(4));
  EXPECT_EQ(all[2].verdict, Outcome::kPassed);
  EXPECT_EQ(all[2].attempt, 2);
  EXPECT_THAT(world.before[3], IsEmpty());
  EXPECT_THAT(store_->faults().value(), IsEmpty());
}

TEST_F(SoakTest, ATrialThatBreaksInAVmOfItsOwnIsBroken) {
  items_ = {composed_item(10)};
  campaign_.budget_trials = 1;
  FakeWorld world([&](const TrialPlan&, std::uint64_t, const TrialObserver&) {
    return broken_trial("no huge page");
  });
  ASSERT_EQ(run(world).value(), SoakEnd::kBudget);
  EXPECT_EQ(trials().at(0).verdict, Outcome::kBroken);
  EXPECT_EQ(trials().at(0).attempt, 1);
}

TEST_F(SoakTest, EndsWhenNothingIsLeft) {
  FakeWorld world([](const auto&, auto, const auto&) {
    TrialResult out = passed_trial();
    out.verdict = {Outcome::kSkipped, "no widener", {}};
    return out;
  });
  ASSERT_EQ(run(world).value(), SoakEnd::kBudget);
  EXPECT_THAT(trials(), SizeIs(3));
}

TEST_F(SoakTest, AnInterruptedTrialIsRunAgainUnderItsNumberAndSeed) {
  FakeWorld first([&](const auto&, std::uint64_t number, const auto&) {
    if (number < 3) return passed_trial();
    first.stop = true;
    TrialResult out = broken_trial("interrupted");
    out.end = TrialEnd::kInterrupted;
    return out;
  });
  ASSERT_EQ(run(first).value(), SoakEnd::kInterrupted);
  auto all = trials();
  ASSERT_THAT(all, SizeIs(3));
  EXPECT_EQ(all[2].state, TrialState::kPlanned);
  EXPECT_TRUE(fs::exists(root_ / "soak-c/trial-000003/console.log"));
  std::vector<std::uint64_t> order;
  FakeWorld second([&](const TrialPlan& plan, std::uint64_t number, const auto&) {
    EXPECT_EQ(plan.guest.seed, trial_seed(7, number));
    order.push_back(number);
    return passed_trial();
  });
  ASSERT_EQ(run(second).value(), SoakEnd::kBudget);
  EXPECT_THAT(order, testing::ElementsAre(3, 4, 5, 6));
  all = trials();
  EXPECT_EQ(all[2].attempt, 2);
  EXPECT_THAT(all[2].directory, HasSubstr("trial-000003-attempt-2"));
  EXPECT_THAT(store_->faults().value(), IsEmpty());
}

TEST_F(SoakTest, AResumedCampaignDrawsAsTheUninterruptedOne) {
  const auto items_of = [](const std::vector<StoredTrial>& all) {
    std::vector<std::string> out;
    out.reserve(all.size());
    for (const StoredTrial& trial : all) out.push_back(trial.item);
    return out;
  };
  campaign_.budget_trials = 20;
  // Kernels whose times never come close to a tie, which the time of a restart could turn.
  items_[2].seconds = 26.3;
  FakeWorld whole([](const auto&, auto, const auto&) { return passed_trial(); });
  ASSERT_TRUE(run(whole));
  const auto expected = items_of(trials());
  campaign_.id = store_->add_campaign(campaign_).value();
  for (int part = 0; part < 20; ++part) {
    FakeWorld world([&](const auto&, auto, const auto&) {
      world.stop = true;
      return passed_trial();
    });
    ASSERT_TRUE(run(world));
  }
  EXPECT_EQ(items_of(trials()), expected);
}

TEST_F(SoakTest, PassedDirectoriesShrinkAndOthersStay) {
  FakeWorld world([](const auto&, std::uint64_t number, const auto&) {
    return number == 1   ? found_trial("hang in f")
           : number == 2 ? broken_trial("no boot")
                         : passed_trial();
  });
  ASSERT_TRUE(run(world));
  for (const char* kept : {"trial-000001", "trial-000002"}) {
    EXPECT_TRUE(fs::exists(root_ / "soak-c" / kept / "console.log")) << kept;
  }
  EXPECT_FALSE(fs::exists(root_ / "soak-c/trial-000003/console.log"));
  EXPECT_TRUE(fs::exists(root_ / "soak-c/trial-000003/verdict.json"));
}

// Waits until `wanted` trials run at the same time, or for a second.
class Together {
 public:
  explicit Together(int wanted) : wanted_(wanted) {}
  TrialResult run() {
    std::unique_lock<std::mutex> lock(mutex_);
    ++now_;
    most = std::max(most, now_);
    changed_.notify_all();
    changed_.wait_for(lock, std::chrono::seconds(1), [&] { return most >= wanted_; });
    --now_;
    return passed_trial();
  }
  int most = 0;

 private:
  int wanted_;
  int now_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
};

TEST_F(SoakTest, RunsSeveralAtATime) {
  settings_.jobs = 3;
  campaign_.budget_trials = 9;
  Together together(3);
  FakeWorld world([&](const auto&, auto, const auto&) { return together.run(); });
  ASSERT_TRUE(run(world));
  EXPECT_EQ(together.most, 3);
  EXPECT_THAT(trials(), SizeIs(9));
  EXPECT_THAT(store_->faults().value(), IsEmpty());
}

TEST_F(SoakTest, NotMoreThanMemoryHolds) {
  settings_.jobs = 3;
  campaign_.budget_trials = 2;
  Together together(2);
  FakeWorld world([&](const auto&, auto, const auto&) { return together.run(); });
  world.room = 1;
  ASSERT_TRUE(run(world));
  EXPECT_EQ(together.most, 1);
}

TEST_F(SoakTest, StatusCountsWhatRuns) {
  campaign_.budget_trials = 1;
  std::atomic<bool> seen = false;
  listener_.status_hook = [&](const SoakStatus& status) {
    if (status.counts.rounds == 12 && status.counts.migrations == 5) seen = true;
  };
  FakeWorld world([&](const auto&, auto, const TrialObserver& observer) {
    TrialStatus status;
    status.phase = "running";
    status.rounds = 12;
    status.counters = {{"migrations", 5}};
    observer(status);
    for (int i = 0; i < 2000 && !seen; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return passed_trial();
  });
  ASSERT_TRUE(run(world));
  EXPECT_TRUE(seen);
}

// A file that may not grow stands for a disk that is full: SQLite's writes fail.
class NoRoomToWrite {
 public:
  NoRoomToWrite() {
    std::signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before_);
  }
  NoRoomToWrite(const NoRoomToWrite&) = delete;
  NoRoomToWrite& operator=(const NoRoomToWrite&) = delete;
  ~NoRoomToWrite() { end(); }
  void begin() const {
    rlimit limit = before_;
    limit.rlim_cur = 1;
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  void end() const { setrlimit(RLIMIT_FSIZE, &before_); }

 private:
  rlimit before_{};
};

TEST_F(SoakTest, AFullDiskIsWaitedFor) {
  const NoRoomToWrite disk;
  FakeWorld world([&](const auto&, std::uint64_t number, const auto&) {
    if (number == 3) disk.begin();
    return number == 3 ? found_trial("hang in f") : passed_trial();
  });
  listener_.note_hook = [&](const std::string&) {
    if (listener_.notes.size() == 3) disk.end();
  };
  ASSERT_EQ(run(world).value(), SoakEnd::kBudget);
  ASSERT_GE(listener_.notes.size(), 3U);
  EXPECT_THAT(listener_.notes[0], AllOf(HasSubstr("end trial 3"), HasSubstr("tries again in 2 s")));
  EXPECT_THAT(listener_.notes[1], HasSubstr("tries again in 4 s"));
  EXPECT_THAT(trials(), SizeIs(6));
  EXPECT_EQ(trials()[2].verdict, Outcome::kFound);
  EXPECT_THAT(store_->faults().value(), IsEmpty());
}

TEST_F(SoakTest, AFullDiskAndAnInterruptLeaveTheTrialForLater) {
  const NoRoomToWrite disk;
  FakeWorld world([&](const auto&, std::uint64_t number, const auto&) {
    if (number == 3) disk.begin();
    return passed_trial();
  });
  listener_.note_hook = [&](const std::string&) { world.stop = true; };
  EXPECT_FALSE(run(world));
  disk.end();
  EXPECT_EQ(trials()[2].state, TrialState::kRunning);
  FakeWorld second([](const auto&, auto, const auto&) { return passed_trial(); });
  ASSERT_EQ(run(second).value(), SoakEnd::kBudget);
  EXPECT_THAT(trials(), SizeIs(6));
  EXPECT_EQ(trials()[2].attempt, 2);
}

TEST_F(SoakTest, AnItemThatIsGoneIsBroken) {
  FakeWorld first([&](const auto&, auto, const auto&) {
    first.stop = true;
    TrialResult out = broken_trial("interrupted");
    out.end = TrialEnd::kInterrupted;
    return out;
  });
  ASSERT_TRUE(run(first));
  const std::string gone = trials()[0].item;
  std::erase_if(items_, [&](const CampaignItem& item) { return item_label(item) == gone; });
  FakeWorld second([](const auto&, auto, const auto&) { return passed_trial(); });
  ASSERT_EQ(run(second).value(), SoakEnd::kBudget);
  EXPECT_EQ(trials()[0].verdict, Outcome::kBroken);
  EXPECT_THAT(trials()[0].reason, HasSubstr("no longer"));
}

TEST(Migrations, AreCountedOnce) {
  EXPECT_EQ(migrations_of({{"migrations", 5}, {"thp_migrations", 3}}), 5U);
  EXPECT_EQ(migrations_of({{"migrated/a/x", 5}, {"migrated/a/y", 2}, {"thp_migrations", 3}}), 7U);
  EXPECT_EQ(migrations_of({{"thp_migrations", 3}}), 3U);
  EXPECT_EQ(migrations_of({{"pages/moved", 2}}), 2U);
  EXPECT_EQ(migrations_of({}), 0U);
}

}  // namespace
}  // namespace mmquake
