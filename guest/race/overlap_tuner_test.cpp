// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/race/overlap_tuner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

namespace mmquake {
namespace {

constexpr std::int64_t kUs = 1000;
constexpr int kAttempts = 400;

// Two sides whose release differs by `skew` plus noise, as a woken sleeper's does.
struct Pair {
  std::int64_t skew_ns, noise_ns, first_ns, second_ns;
  std::mt19937_64 random{1};

  bool attempt(OverlapTuner& tuner, OverlapTuner::Delays delays) {
    std::uniform_int_distribution<std::int64_t> noise(-noise_ns, noise_ns);
    const std::int64_t a = delays.first_ns;
    const std::int64_t b = skew_ns + noise(random) + delays.second_ns;
    return tuner.record({a, a + first_ns}, {b, b + second_ns});
  }

  int overlaps(OverlapTuner& tuner) {
    int hits = 0;
    for (int i = 0; i < kAttempts; ++i) {
      hits += attempt(tuner, tuner.next(random())) ? 1 : 0;
    }
    return hits;
  }
};

TEST(Overlap, SpansThatOnlyTouchDoNot) {
  EXPECT_TRUE(overlap({0, 10}, {9, 20}));
  EXPECT_TRUE(overlap({5, 6}, {0, 100}));
  EXPECT_FALSE(overlap({0, 10}, {10, 20}));
  EXPECT_FALSE(overlap({20, 30}, {0, 19}));
}

TEST(RunningMedianTest, ForgetsWhatIsOldAndIgnoresOutliers) {
  RunningMedian median;
  EXPECT_EQ(median.value(), 0);
  median.add(7);
  EXPECT_EQ(median.value(), 7);
  for (int i = 0; i < 15; ++i) {
    median.add(i % 5 == 0 ? 1'000'000 : 3);
  }
  EXPECT_EQ(median.value(), 3);
  EXPECT_EQ(median.count(), 15U);
}

TEST(OverlapTunerTest, WithoutDelaysTheSkewedPairNeverMeets) {
  // The control of the tests below: they would pass without a tuner otherwise.
  Pair pair{800 * kUs, 10 * kUs, 200 * kUs, 50 * kUs};
  OverlapTuner tuner(20'000 * kUs);
  for (int i = 0; i < kAttempts; ++i) {
    EXPECT_FALSE(pair.attempt(tuner, {}));
  }
}

TEST(OverlapTunerTest, FindsTheSkewByItself) {
  for (const std::int64_t skew : {-3000 * kUs, -800 * kUs, 0L, 800 * kUs, 3000 * kUs}) {
    Pair pair{skew, 10 * kUs, 200 * kUs, 50 * kUs};
    OverlapTuner tuner(20'000 * kUs);
    EXPECT_GT(pair.overlaps(tuner), kAttempts * 8 / 10) << skew;
  }
}

TEST(OverlapTunerTest, FollowsAChangeOfTheLoad) {
  Pair pair{100 * kUs, 10 * kUs, 200 * kUs, 50 * kUs};
  OverlapTuner tuner(20'000 * kUs);
  EXPECT_GT(pair.overlaps(tuner), kAttempts * 8 / 10);
  pair.skew_ns = -2500 * kUs;
  pair.first_ns = 900 * kUs;
  EXPECT_GT(pair.overlaps(tuner), kAttempts * 8 / 10);
}

TEST(OverlapTunerTest, AimsAtAllPhasesOfTheFirst) {
  OverlapTuner tuner(20'000 * kUs);
  std::set<std::int64_t> tenths;
  std::mt19937_64 random(2);
  for (int i = 0; i < kAttempts; ++i) {
    const OverlapTuner::Delays delays = tuner.next(random());
    tuner.record({delays.first_ns, delays.first_ns + 1000 * kUs},
                 {delays.second_ns, delays.second_ns + kUs});
    const std::int64_t start = delays.second_ns - delays.first_ns;
    if (i > 20 && start >= 0) {
      tenths.insert(start / (100 * kUs));
    }
  }
  EXPECT_EQ(tenths.size(), 10U);
}

TEST(OverlapTunerTest, AFocusKeepsToTheBeginningOfTheFirst) {
  OverlapTuner tuner(20'000 * kUs, 0.25);
  std::mt19937_64 random(4);
  std::int64_t latest = 0;
  for (int i = 0; i < kAttempts; ++i) {
    const OverlapTuner::Delays delays = tuner.next(random());
    tuner.record({delays.first_ns, delays.first_ns + 1000 * kUs},
                 {delays.second_ns, delays.second_ns + kUs});
    latest = std::max(latest, delays.second_ns);
  }
  EXPECT_LE(latest, 250 * kUs);
  EXPECT_GT(latest, 200 * kUs);
}

TEST(OverlapTunerTest, OneSideStartsAtOnceAndNoDelayIsAboveTheBound) {
  OverlapTuner tuner(500 * kUs);
  std::mt19937_64 random(3);
  for (int i = 0; i < kAttempts; ++i) {
    const OverlapTuner::Delays delays = tuner.next(random());
    EXPECT_EQ(std::min(delays.first_ns, delays.second_ns), 0);
    EXPECT_LE(std::max(delays.first_ns, delays.second_ns), 500 * kUs);
    tuner.record({0, 100}, {90'000 * kUs, 90'001 * kUs});
  }
}

TEST(WaitUntil, IsNeverEarly) {
  for (const std::int64_t wait : {0L, 50 * kUs, 400 * kUs, 2000 * kUs}) {
    const std::int64_t at = now_ns() + wait;
    wait_until_ns(at);
    EXPECT_GE(now_ns(), at);
  }
}

}  // namespace
}  // namespace mmquake
