// SPDX-License-Identifier: GPL-2.0-or-later
//
// A small version of bench/bisect_bench.cpp: is it right as often as it says?
#include "host/bisect/simulate.h"

#include <gtest/gtest.h>

#include <cmath>

namespace mmquake::bisect {
namespace {

constexpr int kHistories = 60;

class Simulated : public testing::TestWithParam<double> {};

TEST_P(Simulated, IsRightAsOftenAsItSays) {
  int right = 0;
  double trials = 0;
  for (std::uint64_t seed = 1; seed <= kHistories; ++seed) {
    const History history = random_history(seed, GetParam(), 20 + 3 * seed);
    const Outcome outcome = simulate(history, {}, seed);
    right += outcome.right ? 1 : 0;
    trials += outcome.trials;
  }
  // What a search that is right in 95 % falls below once in a thousand times.
  const double expected = 0.95 * kHistories;
  EXPECT_GE(right, std::floor(expected - 3.1 * std::sqrt(expected * 0.05)));
  // Each finding is worth several bits, and there are some fifteen passes to each at the lowest.
  EXPECT_LT(trials / kHistories, 15 + 25 / GetParam());
}

INSTANTIATE_TEST_SUITE_P(Rates, Simulated, testing::Values(0.05, 0.1, 0.3, 1.0));

TEST(SimulatedGit, IsRightWithRepeatsAndWrongWithout) {
  int with = 0;
  int without = 0;
  for (std::uint64_t seed = 1; seed <= kHistories; ++seed) {
    const History history = random_history(seed, 0.3);
    with += simulate_git_bisect(history, 20, seed).right ? 1 : 0;
    without += simulate_git_bisect(history, 1, seed).right ? 1 : 0;
  }
  EXPECT_GE(with, kHistories * 9 / 10);
  EXPECT_LT(without, kHistories / 2);
}

TEST(RandomHistory, IsTheSameForASeed) {
  const History a = random_history(7, 0.3);
  const History b = random_history(7, 0.3);
  EXPECT_EQ(a.graph.size(), b.graph.size());
  EXPECT_EQ(a.culprit, b.culprit);
  EXPECT_EQ(a.untestable, b.untestable);
  EXPECT_FALSE(a.untestable[a.graph.bad_end()]);
}

}  // namespace
}  // namespace mmquake::bisect
