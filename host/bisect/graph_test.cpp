// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/bisect/graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <random>

#include "host/bisect/graphs_for_tests.h"
#include "host/bisect/simulate.h"

namespace mmquake::bisect {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::size_t> held_by(const CommitGraph& graph, std::size_t at) {
  std::vector<std::size_t> out;
  graph.for_each_held(at, [&](std::size_t one) { out.push_back(one); });
  std::sort(out.begin(), out.end());
  return out;
}

// As anyone would write it.
void walk(const CommitGraph& graph, std::size_t at, std::vector<bool>& seen) {
  if (seen[at]) return;
  seen[at] = true;
  for (const std::size_t parent : graph.commit(at).parents) walk(graph, parent, seen);
}

TEST(Bits, WalkInOrderAndCount) {
  Bits a(200);
  Bits b(200);
  for (const std::size_t at : {0, 63, 64, 127, 199}) a.set(at);
  for (const std::size_t at : {1, 64, 199}) b.set(at);
  std::vector<std::size_t> both;
  a.for_each_common(b, [&](std::size_t at) { both.push_back(at); });
  EXPECT_THAT(both, ElementsAre(64, 199));
  a.reset(64);
  a &= b;
  EXPECT_EQ(a.count(), 1U);
  a |= b;
  EXPECT_EQ(a.count(), 3U);
  EXPECT_TRUE(a.test(1));
  EXPECT_FALSE(a.test(0));
}

TEST(CommitGraph, AMergeHoldsBothSides) {
  // 0-1---3-4, and 2 comes in from before the good end.
  const CommitGraph graph = graph_of({{}, {0}, {}, {1, 2}, {3}});
  EXPECT_THAT(held_by(graph, 1), ElementsAre(0, 1));
  EXPECT_THAT(held_by(graph, 2), ElementsAre(2));
  EXPECT_THAT(held_by(graph, 4), ElementsAre(0, 1, 2, 3, 4));
  EXPECT_TRUE(graph.holds(4, 2));
  EXPECT_FALSE(graph.holds(1, 2));
  EXPECT_THAT(graph.children(3), ElementsAre(4));
  EXPECT_THAT(graph.children(4), IsEmpty());
}

TEST(CommitGraph, AgreesWithAPlainWalkOnRandomHistories) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const CommitGraph graph = random_history(seed, 1, 20 + seed * 5).graph;
    Bits within(graph.size());
    std::vector<std::uint32_t> column(graph.size());
    std::vector<double> value(graph.size());
    std::mt19937_64 random(seed);
    for (std::size_t at = 0; at < graph.size(); ++at) {
      if (random() % 3 != 0) within.set(at);
      column[at] = random() % 4;
      value[at] = static_cast<double>(random() % 100);
    }
    const std::vector<double> sums = graph.sums(within, column, value, 4);
    for (std::size_t at = 0; at < graph.size(); ++at) {
      std::vector<bool> seen(graph.size());
      walk(graph, at, seen);
      std::vector<std::size_t> expected;
      std::vector<double> row(4);
      for (std::size_t one = 0; one < graph.size(); ++one) {
        ASSERT_EQ(graph.holds(at, one), seen[one]) << at << " " << one << " seed " << seed;
        if (seen[one]) expected.push_back(one);
        if (seen[one] && within.test(one)) row[column[one]] += value[one];
      }
      ASSERT_EQ(held_by(graph, at), expected);
      ASSERT_EQ(std::vector<double>(sums.begin() + at * 4, sums.begin() + at * 4 + 4), row);
    }
    EXPECT_EQ(held_by(graph, graph.bad_end()).size(), graph.size());
  }
}

TEST(CommitGraph, ALongHistoryFits) {
  // As between two releases of the kernel; every tenth a merge.
  std::vector<std::vector<std::size_t>> parents(30000);
  for (std::size_t at = 1; at < parents.size(); ++at) {
    parents[at] = {at - 1};
    if (at % 10 == 0) parents[at].push_back(at - 7);
  }
  const CommitGraph graph = graph_of(parents);
  EXPECT_TRUE(graph.holds(29999, 0));
  EXPECT_FALSE(graph.holds(0, 29999));
}

}  // namespace
}  // namespace mmquake::bisect
