// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/campaign/rates.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace mmquake {
namespace {

TEST(Rates, NoFindingIsTheRuleOfThree) {
  EXPECT_NEAR(rate_below(0, 1), -std::log(0.05), 1e-9);
  EXPECT_NEAR(rate_below(0, 100), 0.03, 1e-4);
  EXPECT_NEAR(rate_below(0, 1, 0.99), -std::log(0.01), 1e-9);
  EXPECT_TRUE(std::isinf(rate_below(0, 0)));
}

// Garwood 1936, table; also in any table of exact Poisson limits.
TEST(Rates, FindingsHaveGarwoodsInterval) {
  EXPECT_NEAR(rate_interval(1, 1).low, 0.0253, 5e-5);
  EXPECT_NEAR(rate_interval(1, 1).high, 5.572, 5e-4);
  EXPECT_NEAR(rate_interval(10, 1).low, 4.795, 5e-4);
  EXPECT_NEAR(rate_interval(10, 1).high, 18.390, 5e-4);
  EXPECT_EQ(rate_interval(0, 1).low, 0);
  EXPECT_NEAR(rate_interval(0, 1).high, -std::log(0.025), 1e-9);
}

// The definition: at the bound, as few findings as were seen have a probability of 5 %.
TEST(Rates, TheBoundIsWhereSoFewFindingsBecomeUnlikely) {
  for (std::uint64_t seen : {0U, 1U, 3U, 20U}) {
    const double mean = rate_below(seen, 1);
    double tail = 0;
    double term = std::exp(-mean);
    for (std::uint64_t k = 0; k <= seen; ++k) {
      tail += term;
      term *= mean / static_cast<double>(k + 1);
    }
    EXPECT_NEAR(tail, 0.05, 1e-9) << seen;
  }
}

// How often does the bound hold, if the rate is known? A process of single findings with
// exponential gaps, as a soak would see it, not drawn from the distribution that is inverted.
double coverage(double rate, double time, std::mt19937_64& random) {
  constexpr int kSoaks = 20000;
  std::exponential_distribution<double> gap(rate);
  int holds = 0;
  for (int soak = 0; soak < kSoaks; ++soak) {
    std::uint64_t findings = 0;
    for (double at = gap(random); at < time; at += gap(random)) ++findings;
    if (rate_below(findings, time) >= rate) ++holds;
  }
  return static_cast<double>(holds) / kSoaks;
}

TEST(Rates, TheBoundHoldsInASimulation) {
  std::mt19937_64 random(20261124);
  double least = 1;
  for (double expected : {0.1, 1.0, 2.9, 3.1, 5.0, 10.0, 40.0}) {
    const double held = coverage(expected / 8, 8, random);
    // Exact for a discrete count means "at least"; 20,000 soaks are good to 0.5 %.
    EXPECT_GE(held, 0.95 - 0.005) << expected;
    least = std::min(least, held);
  }
  // And it is no wider than it has to be: somewhere it is close to 95 %.
  EXPECT_LT(least, 0.97);
}

TEST(Rates, ClopperAndPearson) {
  EXPECT_NEAR(probability_interval(9, 10).low, 0.5550, 5e-5);
  EXPECT_NEAR(probability_interval(9, 10).high, 0.9975, 5e-5);
  EXPECT_NEAR(probability_interval(10, 10).low, 0.6915, 5e-5);
  EXPECT_EQ(probability_interval(10, 10).high, 1);
  EXPECT_EQ(probability_interval(0, 10).low, 0);
  EXPECT_NEAR(probability_interval(0, 10).high, 0.3085, 5e-5);
  EXPECT_EQ(probability_interval(0, 0).low, 0);
  EXPECT_EQ(probability_interval(0, 0).high, 1);
}

TEST(Rates, PercentileIsTheNearestRank) {
  EXPECT_EQ(percentile({}, 0.5), 0);
  EXPECT_EQ(percentile({3}, 0.9), 3);
  EXPECT_EQ(percentile({4, 1, 3, 2}, 0.5), 2);
  EXPECT_EQ(percentile({10, 9, 8, 7, 6, 5, 4, 3, 2, 1}, 0.9), 9);
  EXPECT_EQ(percentile({1, 2}, 1), 2);
}

TEST(Rates, BoundAsText) {
  EXPECT_EQ(bound_text(60), "< 180 findings/h at 95 %");
  EXPECT_EQ(bound_text(7200), "< 1.5 findings/h at 95 %");
  EXPECT_EQ(bound_text(0), "");
}

}  // namespace
}  // namespace mmquake
