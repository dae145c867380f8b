// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/bisect/fix.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/math/special_functions/beta.hpp>
#include <nlohmann/json.hpp>
#include <random>

#include "host/bisect/graphs_for_tests.h"

namespace mmquake::bisect {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class FixTest : public testing::Test {
 protected:
  FixTest() : graph_(fix_graph("6.1")), search_(graph_, fix_settings(0.95, "")) {
    search_.take(kUnpatched, built());
    search_.take(kPatched, built());
  }
  void unpatched(std::uint32_t found_count, std::uint32_t passed_count) {
    for (std::uint32_t i = 0; i < found_count; ++i) search_.take(kUnpatched, found("bug"));
    for (std::uint32_t i = 0; i < passed_count; ++i) search_.take(kUnpatched, passed());
  }
  FixEnd end() const { return fix_answer(search_).end; }

  CommitGraph graph_;
  Search search_;
};

TEST_F(FixTest, TheUnpatchedKernelMustShowItFirst) {
  EXPECT_EQ(search_.next().commit, kUnpatched);
  unpatched(2, 0);
  EXPECT_EQ(search_.end(), SearchEnd::kGoesOn);
  EXPECT_EQ(search_.next().commit, kUnpatched) << "twice is no rate";
  unpatched(1, 0);
  EXPECT_EQ(search_.next().commit, kPatched);
  EXPECT_EQ(end(), FixEnd::kUndecided);
}

TEST_F(FixTest, PassesCountByTheRateThatTheUnpatchedKernelHas) {
  unpatched(3, 7);
  std::uint32_t passes = 0;
  for (; search_.end() == SearchEnd::kGoesOn && passes < 100; ++passes) {
    search_.take(kPatched, passed());
  }
  EXPECT_EQ(end(), FixEnd::kFixed);
  const FixAnswer answer = fix_answer(search_);
  // The integral of (1-r)^passes over the rate's Beta(0.1 + 3, 1 + 7).
  const double by_luck = boost::math::beta(3.1, 8.0 + passes) / boost::math::beta(3.1, 8.0);
  EXPECT_NEAR(answer.by_luck, by_luck, 1e-9);
  EXPECT_NEAR(answer.chance, 1 / (1 + by_luck), 1e-9);
  EXPECT_GE(answer.chance, 0.95);
  EXPECT_THAT(fix_text(search_), StartsWith("fixed ("));
  EXPECT_THAT(fix_text(search_), HasSubstr("found in 3 of 10 trials"));
  EXPECT_EQ(fix_json(search_)["result"], "fixed");
}

TEST_F(FixTest, TheSameBugAgainIsNotFixed) {
  unpatched(3, 0);
  search_.take(kPatched, passed());
  search_.take(kPatched, found("bug"));
  EXPECT_EQ(search_.end(), SearchEnd::kSettled);
  EXPECT_EQ(end(), FixEnd::kNotFixed);
  EXPECT_EQ(fix_answer(search_).chance, 0);
  EXPECT_THAT(fix_text(search_), StartsWith("not fixed\n"));
}

TEST_F(FixTest, AnotherBugIsNoVote) {
  unpatched(3, 0);
  search_.take(kPatched, found("other"));
  EXPECT_EQ(end(), FixEnd::kUndecided);
  EXPECT_THAT(fix_text(search_), HasSubstr("another bug, no vote: other (1 times, patched)"));
}

TEST_F(FixTest, APatchedKernelThatCannotBeTestedDecidesNothing) {
  unpatched(3, 0);
  search_.take(kPatched, not_built());
  EXPECT_EQ(end(), FixEnd::kUndecided);
  EXPECT_THAT(fix_text(search_),
              HasSubstr("the patched kernel cannot be tested: does not compile"));
}

TEST_F(FixTest, ABugThatDoesNotShowDecidesNothing) {
  unpatched(0, 100);
  EXPECT_EQ(search_.end(), SearchEnd::kNotShown);
  EXPECT_EQ(end(), FixEnd::kUndecided);
  EXPECT_THAT(fix_text(search_), HasSubstr("did not show the bug in 100 trials"));
}

// The promise: of patches that mend nothing few are called fixed, whatever the rate.
TEST(FixSimulation, APatchThatMendsNothingIsSeldomCalledFixed) {
  for (const double rate : {0.05, 0.3, 0.9}) {
    std::mt19937 random(7);
    std::bernoulli_distribution shows(rate);
    int wrong = 0;
    constexpr int kRuns = 400;
    const CommitGraph graph = fix_graph("");
    for (int run = 0; run < kRuns; ++run) {
      SearchSettings settings = fix_settings(0.95, "bug");
      settings.bad_limit = 1000;
      Search search(graph, settings);
      search.take(kUnpatched, built());
      search.take(kPatched, built());
      while (search.end() == SearchEnd::kGoesOn) {
        search.take(search.next().commit, shows(random) ? found("bug") : passed());
      }
      if (fix_answer(search).end == FixEnd::kFixed) ++wrong;
    }
    // 5 % and three standard errors.
    EXPECT_LE(wrong, 33) << rate;
  }
}

}  // namespace
}  // namespace mmquake::bisect
