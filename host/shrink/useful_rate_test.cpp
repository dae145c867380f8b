// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/shrink/useful_rate.h"

#include <gtest/gtest.h>

#include <random>

namespace mmquake {
namespace {

// How many of a thousand tests say that `chance` is good enough.
int accepted(double chance, double measured, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::bernoulli_distribution finds(chance);
  int out = 0;
  for (int i = 0; i < 1000; ++i) {
    RateTest test = test_against(measured);
    while (!test.answer()) test.feed(finds(random));
    out += *test.answer() ? 1 : 0;
  }
  return out;
}

TEST(RateTest, ErrsSeldomOutsideOfWhatMayBeEither) {
  for (const double chance : {0.1, 0.3, 0.5, 1.0}) {
    // Five of a hundred, and four standard deviations of a thousand throws.
    EXPECT_GE(accepted(chance, chance, 1), 950 - 28) << chance;
    EXPECT_GE(accepted(0.8 * chance, chance, 2), 950 - 28) << chance;
    EXPECT_LE(accepted(0.3 * chance, chance, 3), 50 + 28) << chance;
    EXPECT_LE(accepted(0.1 * chance, chance, 4), 50 + 28) << chance;
  }
}

TEST(RateTest, WhatNeverFindsIsNeverGoodEnough) {
  RateTest test = test_against(0.1);
  for (int i = 0; i < 1000; ++i) {
    test.feed(false);
    EXPECT_NE(test.answer(), std::optional(true));
  }
  EXPECT_EQ(test.answer(), std::optional(false));
}

TEST(RateTest, ASureBugIsDecidedByAFewTrials) {
  RateTest gone = test_against(1);
  RateTest there = test_against(1);
  int misses = 0;
  int hits = 0;
  for (; !gone.answer(); ++misses) gone.feed(false);
  for (; !there.answer(); ++hits) there.feed(true);
  EXPECT_EQ(misses, 3);
  EXPECT_EQ(hits, 4);
}

TEST(RateMeasure, HasNoBias) {
  std::mt19937_64 random(5);
  std::bernoulli_distribution finds(0.3);
  double sum = 0;
  constexpr int kTimes = 4000;
  for (int i = 0; i < kTimes; ++i) {
    RateMeasure measure;
    while (!measure.is_done()) measure.feed(finds(random));
    sum += measure.chance();
  }
  EXPECT_NEAR(sum / kTimes, 0.3, 0.01);
}

TEST(RateMeasure, OfWhoStopsBefore) {
  RateMeasure measure;
  EXPECT_EQ(measure.chance(), 0);
  for (const bool found : {true, false, false, true}) measure.feed(found);
  EXPECT_FALSE(measure.is_done());
  EXPECT_EQ(measure.chance(), 0.5);
}

}  // namespace
}  // namespace mmquake
