// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/campaign/schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <set>

namespace mmquake {
namespace {

CampaignItem item(const std::string& name, const std::string& kernel, double weight = 1,
                  double seconds = 20) {
  CampaignItem out;
  out.case_name = name;
  out.kernel = kernel;
  out.weight = weight;
  out.seconds = seconds;
  return out;
}

struct Ended {
  Outcome outcome = Outcome::kPassed;
  double seconds = 25;
};

// Trials one after another until `until`; says how often each item ran and how long each kernel.
class Night {
 public:
  Night(std::vector<CampaignItem> items, std::uint64_t seed, BackOff back_off = {})
      : items_(std::move(items)), schedule_(items_, seed, back_off) {}

  void run(double until, const std::function<Ended(const CampaignItem&, double now)>& trial) {
    while (now < until) {
      const auto drawn = schedule_.draw(now);
      if (!drawn) {
        const double next = schedule_.next_draw(now);
        if (!std::isfinite(next)) return;
        ASSERT_GT(next, now);
        now = next;
        continue;
      }
      const CampaignItem& what = items_[*drawn];
      schedule_.start(*drawn);
      const Ended ended = trial(what, now);
      now += ended.seconds;
      schedule_.end(*drawn, ended.outcome, ended.seconds, now);
      order.push_back(what.case_name);
      ++count[what.case_name];
      seconds[what.kernel] += ended.seconds;
    }
  }
  const Schedule& schedule() const { return schedule_; }

  double now = 0;
  std::vector<std::string> order;
  std::map<std::string, int> count;
  std::map<std::string, double> seconds;

 private:
  std::vector<CampaignItem> items_;
  Schedule schedule_;
};

TEST(TrialSeed, IsItsOwnForEachTrial) {
  std::set<std::uint64_t> seen;
  for (std::uint64_t number = 1; number <= 10000; ++number) {
    const std::uint64_t seed = trial_seed(7, number);
    EXPECT_GT(seed, 0U);
    EXPECT_LT(seed, std::uint64_t{1} << 53U);
    seen.insert(seed);
  }
  EXPECT_EQ(seen.size(), 10000U);
  EXPECT_EQ(trial_seed(7, 3), trial_seed(7, 3));
  EXPECT_NE(trial_seed(7, 3), trial_seed(8, 3));
  EXPECT_NE(trial_seed(7, 3), trial_seed(6, 4)) << "campaigns with neighbouring seeds share none";
}

TEST(Schedule, KernelsHaveTheSameTimeHoweverLongTheirTrialsTake) {
  Night night({item("a", "fast"), item("a2", "slow")}, 1);
  night.run(8 * 3600, [](const CampaignItem& what, double) {
    return Ended{Outcome::kPassed, what.kernel == "slow" ? 90.0 : 10.0};
  });
  EXPECT_NEAR(night.seconds["fast"], night.seconds["slow"], 100);
}

TEST(Schedule, AKernelsShareIsTheWeightOfItsItems) {
  Night night({item("a", "k"), item("b", "k"), item("c", "k"), item("d", "other")}, 1);
  night.run(4 * 3600, [](const CampaignItem&, double) { return Ended{}; });
  EXPECT_NEAR(night.seconds["k"], 3 * night.seconds["other"], 100);
  EXPECT_NEAR(night.count["a"], night.count["d"], 2);
}

TEST(Schedule, WeightsDecideWithinAKernel) {
  Night night({item("a", "k", 1), item("b", "k", 3), item("c", "k", 0.5)}, 5);
  night.run(9000 * 25, [](const CampaignItem&, double) { return Ended{}; });
  EXPECT_NEAR(night.count["a"], 2000, 2);
  EXPECT_NEAR(night.count["b"], 6000, 2);
  EXPECT_NEAR(night.count["c"], 1000, 2);
}

TEST(Schedule, EveryItemHasItsTurnBeforeAnyHasASecond) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    Night night({item("a", "k"), item("b", "k"), item("c", "k"), item("d", "k")}, seed);
    night.run(8 * 25, [](const CampaignItem&, double) { return Ended{}; });
    ASSERT_EQ(night.order.size(), 8U);
    EXPECT_EQ(std::set<std::string>(night.order.begin(), night.order.begin() + 4).size(), 4U);
    EXPECT_EQ(std::set<std::string>(night.order.begin() + 4, night.order.end()).size(), 4U);
  }
}

TEST(Schedule, TheSeedDecidesTheOrder) {
  std::set<std::vector<std::string>> orders;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    Night night({item("a", "k"), item("b", "k"), item("c", "k"), item("d", "k")}, seed);
    Night again({item("a", "k"), item("b", "k"), item("c", "k"), item("d", "k")}, seed);
    const auto pass = [](const CampaignItem&, double) { return Ended{}; };
    night.run(16 * 25, pass);
    again.run(16 * 25, pass);
    EXPECT_EQ(night.order, again.order);
    orders.insert(night.order);
  }
  EXPECT_GT(orders.size(), 10U);
}

TEST(Schedule, ABrokenKernelDoesNotEatTheNight) {
  Night night({item("a", "good"), item("b", "bad")}, 1);
  night.run(8 * 3600, [](const CampaignItem& what, double) {
    return what.kernel == "bad" ? Ended{Outcome::kBroken, 1} : Ended{};
  });
  // 5 + 10 + ... + 160 s, then one try each half hour.
  EXPECT_NEAR(night.count["b"], 6 + 16, 2);
  EXPECT_LT(night.seconds["bad"], 30);
  EXPECT_GT(night.seconds["good"], 8 * 3600 - 60);
  const auto kernels = night.schedule().kernels();
  EXPECT_FALSE(kernels[0].parked);
  EXPECT_TRUE(kernels[1].parked);
}

TEST(Schedule, WaitsGrowToTheirLimit) {
  const std::vector<CampaignItem> items = {item("a", "k")};
  BackOff back_off;
  back_off.longest = 30;
  Schedule schedule(items, 1, back_off);
  double now = 100;
  for (const double wait : {5.0, 10.0, 20.0, 30.0, 30.0, 1800.0, 1800.0}) {
    ASSERT_EQ(schedule.draw(now), 0U);
    schedule.start(0);
    schedule.end(0, Outcome::kBroken, 1, now);
    EXPECT_FALSE(schedule.draw(now + wait - 0.1));
    EXPECT_DOUBLE_EQ(schedule.next_draw(now), now + wait);
    now += wait;
  }
  schedule.start(0);
  schedule.end(0, Outcome::kPassed, 1, now);
  EXPECT_EQ(schedule.draw(now), 0U) << "one that works has no wait";
  EXPECT_EQ(schedule.kernels()[0].broken_in_row, 0);
}

TEST(Schedule, AKernelThatRecoversDoesNotCatchUp) {
  Night night({item("a", "good"), item("b", "ill")}, 1);
  const auto trial = [](const CampaignItem& what, double now) {
    return what.kernel == "ill" && now < 4 * 3600 ? Ended{Outcome::kBroken, 1} : Ended{};
  };
  night.run(4.6 * 3600, trial);
  const double before = night.seconds["good"];
  night.run(6.6 * 3600, trial);
  EXPECT_NEAR(night.seconds["good"] - before, 3600, 60) << "half of the two hours";
}

TEST(Schedule, SkippedItemsAreNotDrawnAgain) {
  Night night({item("a", "k"), item("b", "k"), item("c", "other")}, 1);
  night.run(3600, [](const CampaignItem& what, double) {
    return what.case_name == "a" ? Ended{} : Ended{Outcome::kSkipped, 5};
  });
  EXPECT_EQ(night.count["b"], 1);
  EXPECT_EQ(night.count["c"], 1);
  EXPECT_GT(night.count["a"], 100);
}

TEST(Schedule, EndsWhenEverythingIsSkipped) {
  Night night({item("a", "k"), item("b", "other")}, 1);
  night.run(3600, [](const CampaignItem&, double) { return Ended{Outcome::kSkipped, 5}; });
  EXPECT_EQ(night.order.size(), 2U);
  EXPECT_TRUE(std::isinf(night.schedule().next_draw(0)));
}

TEST(Schedule, WhatRunsIsChargedAtOnce) {
  const std::vector<CampaignItem> items = {item("a", "k"), item("b", "other")};
  Schedule schedule(items, 1, {});
  const std::size_t first = schedule.draw(0).value();
  schedule.start(first);
  const std::size_t second = schedule.draw(0).value();
  EXPECT_NE(first, second) << "two VMs at a time are of two kernels";
  schedule.cancel(first);
  EXPECT_EQ(schedule.draw(0), first);
}

}  // namespace
}  // namespace mmquake
