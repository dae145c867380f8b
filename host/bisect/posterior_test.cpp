// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/bisect/posterior.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <random>

#include "host/bisect/graphs_for_tests.h"

namespace mmquake::bisect {
namespace {

struct Vote {
  std::size_t at;
  bool found;
};

// Culprit by rate, each pair weighed by the likelihood of every vote.
struct BruteForce {
  std::vector<double> chances;
  double rate = 0;

  BruteForce(const CommitGraph& graph, BetaPrior prior, const std::vector<Vote>& votes)
      : chances(graph.size()) {
    constexpr int kSteps = 20000;
    double all = 0;
    for (std::size_t culprit = 0; culprit < graph.size(); ++culprit) {
      for (int step = 0; step < kSteps; ++step) {
        // Squared, so that the steps are small where the prior has its pole.
        const double root = (step + 0.5) / kSteps;
        const double r = root * root;
        double weight = std::pow(r, prior.a - 1) * std::pow(1 - r, prior.b - 1) * 2 * root;
        for (const Vote& vote : votes) {
          const double chance = graph.holds(vote.at, culprit) ? r : 0;
          weight *= vote.found ? chance : 1 - chance;
        }
        chances[culprit] += weight;
        rate += weight * r;
        all += weight;
      }
    }
    for (double& chance : chances) chance /= all;
    rate /= all;
  }
};

TEST(Posterior, AgreesWithBruteForce) {
  const std::vector<CommitGraph> graphs = {
      chain(5), graph_of({{}, {0}, {}, {1, 2}, {3}}),
      graph_of({{}, {0}, {0}, {1}, {2}, {3, 4}, {5}, {1}, {6, 7}})};
  std::mt19937_64 random(7);
  for (const CommitGraph& graph : graphs) {
    for (int round = 0; round < 8; ++round) {
      const BetaPrior prior = round % 2 == 0 ? BetaPrior{0.5, 1} : BetaPrior{1, 2};
      const std::size_t culprit = random() % graph.size();
      Posterior posterior(graph, prior);
      std::vector<Vote> votes = {{graph.bad_end(), true}};
      for (int i = 0; i < 9; ++i) {
        const std::size_t at = random() % graph.size();
        votes.push_back({at, graph.holds(at, culprit) && random() % 3 == 0});
      }
      for (const Vote& vote : votes) {
        vote.found ? posterior.found(vote.at) : posterior.passed(vote.at);
      }
      const BruteForce expected(graph, prior, votes);
      for (std::size_t at = 0; at < graph.size(); ++at) {
        EXPECT_NEAR(posterior.chances()[at], expected.chances[at], 1e-5) << at;
      }
      EXPECT_NEAR(posterior.rate(), expected.rate, 1e-5);
    }
  }
}

TEST(Posterior, AFindingIsCertainAndAPassIsNot) {
  const CommitGraph graph = chain(10);
  Posterior posterior(graph);
  posterior.found(9);
  posterior.passed(4);
  EXPECT_GT(posterior.chances()[2], 0);
  EXPECT_LT(posterior.chances()[2], posterior.chances()[7]);
  posterior.found(4);
  EXPECT_EQ(posterior.chances()[5], 0);
  EXPECT_NEAR(posterior.chances()[2], 0.2, 1e-12);
  EXPECT_FALSE(posterior.is_contradiction());
}

TEST(Posterior, TwoBranchesThatBothShowItAreAContradiction) {
  const CommitGraph graph = graph_of({{}, {}, {0, 1}});
  Posterior posterior(graph);
  posterior.found(0);
  posterior.found(1);
  EXPECT_TRUE(posterior.is_contradiction());
  EXPECT_EQ(posterior.rate(), 0);
}

TEST(Posterior, ManyTrialsOnManyCommitsStaySound) {
  const CommitGraph graph = chain(5000);
  Posterior posterior(graph);
  for (int i = 0; i < 3000; ++i) {
    posterior.passed(2000);
    if (i % 10 == 0) posterior.found(4999);
  }
  const auto& chances = posterior.chances();
  EXPECT_NEAR(std::accumulate(chances.begin(), chances.end(), 0.0), 1, 1e-9);
  EXPECT_NEAR(posterior.chances()[3000], 1.0 / 2999, 1e-9);
  EXPECT_EQ(posterior.chances()[0], 0);  // e^-700 and less
  // What is left of the candidates has 300 found and no pass.
  EXPECT_GT(posterior.rate(), 0.99);
}

TEST(Posterior, MissIsTheChanceOfPasses) {
  const CommitGraph graph = chain(3);
  Posterior posterior(graph, {1, 1});
  // Uniform: the integral of (1-r)^n is 1 / (n + 1).
  EXPECT_NEAR(posterior.miss(0, 3), 0.25, 1e-12);
  EXPECT_NEAR(posterior.miss(2, 1), 3.0 / 4, 1e-12);
  posterior.found(2);
  // With the density 2r: 2 B(2, n + 1).
  EXPECT_NEAR(posterior.miss(0, 1), 1.0 / 3, 1e-12);
}

}  // namespace
}  // namespace mmquake::bisect
