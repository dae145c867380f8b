// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/bisect/search.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "host/bisect/graphs_for_tests.h"

namespace mmquake::bisect {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

// Runs a search whose builds and trials are functions of the commit.
void run(
    Search& search, const std::function<TrialOutcome(std::size_t)>& trial,
    const std::function<BuildResult(std::size_t)>& build = [](std::size_t) { return built(); }) {
  for (int i = 0; i < 2000 && search.end() == SearchEnd::kGoesOn; ++i) {
    const std::size_t at = search.next().commit;
    if (search.is_built(at)) {
      search.take(at, trial(at));
    } else {
      search.take(at, build(at));
    }
  }
}

TrialOutcome bad_from(std::size_t culprit, std::size_t at) {
  return at >= culprit ? found() : passed();
}

TEST(Search, FindsTheFirstBadCommitOfAChain) {
  const CommitGraph graph = chain(100);
  for (const std::size_t culprit : {0, 1, 37, 98, 99}) {
    Search search(graph, {});
    run(search, [&](std::size_t at) { return bad_from(culprit, at); });
    ASSERT_EQ(search.end(), SearchEnd::kSettled);
    EXPECT_THAT(search.groups().front().commits, ElementsAre(culprit));
    EXPECT_GE(search.groups().front().chance, 0.95);
    EXPECT_LT(search.trials(), 40U);
  }
}

TEST(Search, TriesTheBadEndFirstAndTakesItsSignature) {
  const CommitGraph graph = chain(10);
  Search search(graph, {});
  EXPECT_EQ(search.next().commit, 9U);
  EXPECT_FALSE(search.is_built(9));
  search.take(9, built());
  search.take(9, passed());
  EXPECT_EQ(search.next().commit, 9U);
  search.take(9, found("hang in f"));
  EXPECT_EQ(search.signature(), "hang in f");
}

TEST(Search, AnotherSignatureIsNoVote) {
  const CommitGraph graph = chain(64);
  Search search(graph, {});
  int foreign = 0;
  // Below 20 another bug hangs every other trial.
  run(search, [&](std::size_t at) {
    if (at < 20 && ++foreign % 2 == 0) return found("another");
    return bad_from(40, at);
  });
  ASSERT_EQ(search.end(), SearchEnd::kSettled);
  EXPECT_THAT(search.groups().front().commits, ElementsAre(40));
}

TEST(Search, ACommitThatAlwaysShowsAnotherBugIsGivenUp) {
  const CommitGraph graph = chain(3);
  Search search(graph, {});
  run(search, [&](std::size_t at) { return at == 1 ? found("another") : bad_from(1, at); });
  ASSERT_EQ(search.end(), SearchEnd::kSettled);
  EXPECT_THAT(search.groups().front().commits, ElementsAre(1, 2));
  EXPECT_THAT(search.tally(1).foreign, ElementsAre(Pair("another", 5U)));
  EXPECT_THAT(search.tally(1).untestable, HasSubstr("another bug"));
}

TEST(Search, BrokenTrialsAreTriedAgainButNotForEver) {
  const CommitGraph graph = chain(3);
  Search search(graph, {});
  int broken_ones = 0;
  run(search, [&](std::size_t at) {
    if (at == 1) {
      ++broken_ones;
      return broken_trial();
    }
    return bad_from(2, at);
  });
  EXPECT_EQ(broken_ones, 3);
  ASSERT_EQ(search.end(), SearchEnd::kSettled);
  EXPECT_THAT(search.groups().front().commits, ElementsAre(1, 2));
  EXPECT_EQ(search.tally(1).untestable, "no boot");

  Search lucky(graph, {});
  int trials = 0;
  run(lucky, [&](std::size_t at) { return ++trials % 3 == 0 ? bad_from(2, at) : broken_trial(); });
  ASSERT_EQ(lucky.end(), SearchEnd::kSettled);
  EXPECT_THAT(lucky.groups().front().commits, ElementsAre(2));
}

TEST(Search, WhatCannotBeBuiltLeavesARange) {
  const CommitGraph graph = chain(50);
  Search search(graph, {});
  // 20 to 24 do not build, 22 brought the bug: it shows from 25 on.
  run(
      search, [](std::size_t at) { return bad_from(22, at); },
      [](std::size_t at) { return at >= 20 && at < 25 ? not_built() : built(); });
  ASSERT_EQ(search.end(), SearchEnd::kSettled);
  // All but 25 were tried in vain or lie beside what was.
  EXPECT_THAT(search.groups().front().commits, Contains(22U));
  EXPECT_THAT(search.groups().front().commits, Contains(25U));
  EXPECT_LE(search.groups().front().commits.size(), 6U);
}

TEST(Search, ARangeCanLieOnABranch) {
  // 0-1-2-5, and 3-4 beside it; 4 does not build.
  const CommitGraph graph = graph_of({{}, {0}, {1}, {0}, {3}, {2, 4}});
  Search search(graph, {});
  run(
      search, [&](std::size_t at) { return graph.holds(at, 4) ? found() : passed(); },
      [](std::size_t at) { return at == 4 ? not_built() : built(); });
  ASSERT_EQ(search.end(), SearchEnd::kSettled);
  EXPECT_THAT(search.groups().front().commits, ElementsAre(4, 5));
}

TEST(Search, SaysWhenTheBadEndDoesNotShowIt) {
  const CommitGraph graph = chain(5);
  SearchSettings settings;
  settings.bad_limit = 7;
  Search never(graph, settings);
  run(never, [](std::size_t) { return passed(); });
  EXPECT_EQ(never.end(), SearchEnd::kNotShown);
  EXPECT_EQ(never.trials(), 7U);

  Search unbuilt(graph, {});
  run(
      unbuilt, [](std::size_t) { return passed(); }, [](std::size_t) { return not_built(); });
  EXPECT_EQ(unbuilt.end(), SearchEnd::kBadUntestable);

  settings.signature = "wanted";
  Search other(graph, settings);
  run(other, [](std::size_t) { return found("another"); });
  EXPECT_EQ(other.end(), SearchEnd::kBadUntestable);
  EXPECT_THAT(other.tally(4).foreign, ElementsAre(Pair("another", 5U)));
}

TEST(Search, SaysWhenItsAssumptionDoesNotHold) {
  const CommitGraph graph = graph_of({{}, {}, {0, 1}});
  Search search(graph, {});
  for (const std::size_t at : {2, 0, 1}) {
    search.take(at, built());
    search.take(at, found());
  }
  EXPECT_EQ(search.end(), SearchEnd::kContradiction);
}

TEST(Search, ABuildMayTakeThePlaceOfTheOneBefore) {
  const CommitGraph graph = chain(10);
  SearchSettings settings;
  settings.keeps_kernels = false;
  Search search(graph, settings);
  search.take(9, built());
  EXPECT_TRUE(search.is_built(9));
  search.take(4, built());
  EXPECT_FALSE(search.is_built(9));
  EXPECT_TRUE(search.is_built(4));
  search.take(4, not_built());
  EXPECT_FALSE(search.is_built(4));
}

TEST(Search, OneCandidateNeedsOnlyToShowTheBug) {
  const CommitGraph graph = chain(1);
  Search search(graph, {});
  run(search, [](std::size_t) { return found(); });
  EXPECT_EQ(search.end(), SearchEnd::kSettled);
  EXPECT_THAT(search.groups().front().commits, ElementsAre(0));
}

TEST(Planner, AsksInTheMiddleAndStaysWhereAKernelIsDear) {
  const CommitGraph graph = chain(101);
  Posterior posterior(graph);
  for (int i = 0; i < 20; ++i) posterior.found(100);
  Kernels kernels;
  kernels.state.resize(graph.size(), KernelState::kNew);
  kernels.state[100] = KernelState::kBuilt;
  kernels.last = 100;
  Prices prices;
  const auto plan = plan_next(graph, posterior, prices, kernels);
  ASSERT_TRUE(plan);
  EXPECT_NEAR(static_cast<double>(plan->commit), 50, 15);
  EXPECT_NEAR(plan->bits, 1, 0.1);
  // One that is built nearby is as good, and costs nothing.
  kernels.state[62] = KernelState::kBuilt;
  EXPECT_EQ(plan_next(graph, posterior, prices, kernels)->commit, 62U);
  // Not when only the bits count.
  EXPECT_NEAR(static_cast<double>(plan_next(graph, posterior, prices, kernels, Aim::kBits)->commit),
              50, 5);
}

TEST(Planner, ALowRateIsWorthMoreTrialsAtATime) {
  const CommitGraph graph = chain(101);
  Posterior posterior(graph);
  for (int i = 0; i < 30; ++i) {
    if (i % 10 == 0) posterior.found(100);
    posterior.passed(100);
  }
  Kernels kernels;
  kernels.state.resize(graph.size(), KernelState::kNew);
  kernels.state[100] = KernelState::kBuilt;
  kernels.last = 100;
  Prices prices;
  prices.built_cold(600);
  const auto plan = plan_next(graph, posterior, prices, kernels);
  ASSERT_TRUE(plan);
  EXPECT_GE(plan->trials, 5U);
  EXPECT_GT(plan->seconds, 100);
}

TEST(Planner, DistanceCountsBothSides) {
  const CommitGraph graph = graph_of({{}, {0}, {1}, {0}, {3}, {2, 4}});
  EXPECT_EQ(distance(graph, 2, 4), 4U);
  EXPECT_EQ(distance(graph, 5, 5), 0U);
  EXPECT_EQ(distance(graph, 0, 5), 5U);
  EXPECT_EQ(distance(graph, 5, 0), 5U);
}

TEST(Prices, AreLearned) {
  Prices prices;
  EXPECT_EQ(prices.cold(), 240);
  prices.built_cold(0.2);
  EXPECT_EQ(prices.cold(), 0.2);
  EXPECT_LE(prices.line().at(1000000), 0.2);
  prices.built_cold(100);
  const double near = prices.line().at(1);
  EXPECT_LT(near, prices.line().at(300));
  for (int i = 0; i < 20; ++i) prices.built_after(90, 1);
  EXPECT_NEAR(prices.line().at(1), 90, 10);
  prices.passed(40);
  EXPECT_EQ(prices.pass(), 40);
  EXPECT_EQ(prices.find(), 20);
  prices.found(12);
  EXPECT_EQ(prices.find(), 12);
}

}  // namespace
}  // namespace mmquake::bisect
