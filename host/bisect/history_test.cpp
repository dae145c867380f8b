// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/bisect/history.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/bisect/graphs_for_tests.h"

namespace mmquake::bisect {
namespace {

using ::testing::HasSubstr;

std::size_t index_of(const CommitGraph& graph, const std::string& subject) {
  for (std::size_t at = 0; at < graph.size(); ++at) {
    if (graph.commit(at).subject == subject) return at;
  }
  ADD_FAILURE() << "no commit '" << subject << "'";
  return 0;
}

class HistoryTest : public testing::Test {
 protected:
  // start - a - - - merge - end
  //      \    \    /
  //       \     b -
  //        before           (not reachable from the bad end)
  HistoryTest() {
    repository_.commit("mm: a\twith a tab", {{"a", "1"}});
    repository_.git({"checkout", "-q", "-b", "side"});
    repository_.commit("b", {{"b", "1"}});
    repository_.git({"checkout", "-q", "-b", "elsewhere", "start"});
    repository_.commit("before", {{"c", "1"}});
    repository_.git({"checkout", "-q", "master"});
    repository_.git({"merge", "-q", "--no-ff", "-m", "merge", "side"});
    repository_.commit("end", {{"d", "1"}});
  }
  Repository repository_;
};

TEST_F(HistoryTest, IsWhatIsReachableFromBadAndNotFromGood) {
  const auto range = find_range(repository_.path(), {"start"}, "master");
  ASSERT_TRUE(range) << range.error().message;
  EXPECT_EQ(range->bad.subject, "end");
  EXPECT_EQ(range->good.at(0).subject, "start");
  const auto graph = read_history(*range);
  ASSERT_TRUE(graph) << graph.error().message;
  ASSERT_EQ(graph->size(), 4U);
  const std::size_t a = index_of(*graph, "mm: a\twith a tab");
  const std::size_t b = index_of(*graph, "b");
  const std::size_t merge = index_of(*graph, "merge");
  EXPECT_EQ(index_of(*graph, "end"), graph->bad_end());
  EXPECT_EQ(graph->commit(merge).parents.size(), 2U);
  EXPECT_TRUE(graph->commit(a).parents.empty());
  EXPECT_TRUE(graph->holds(b, a));
  EXPECT_FALSE(graph->holds(a, b));
  EXPECT_EQ(graph->commit(a).id.size(), 40U);
}

TEST_F(HistoryTest, TakesSeveralGoodOnesAndOnesThatAreNoAncestors) {
  const auto range = find_range(repository_.path(), {"elsewhere", "side"}, "master");
  ASSERT_TRUE(range) << range.error().message;
  const auto graph = read_history(*range);
  ASSERT_TRUE(graph) << graph.error().message;
  EXPECT_EQ(graph->size(), 2U);  // merge, end
  EXPECT_TRUE(graph->commit(0).parents.empty());
}

TEST_F(HistoryTest, SaysWhatIsWrong) {
  const auto none = find_range(repository_.path(), {"start"}, "mastre");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().kind, ErrorKind::kUsage);
  EXPECT_THAT(none.error().message, HasSubstr("--bad"));
  EXPECT_THAT(none.error().message, HasSubstr("'mastre'"));
  EXPECT_THAT(find_range(repository_.path(), {"--all"}, "master").error().message,
              HasSubstr("'--all'"));
  EXPECT_EQ(find_range("/", {"start"}, "master").error().kind, ErrorKind::kUsage);
  EXPECT_EQ(find_range("/nonexistent", {"a"}, "b").error().kind, ErrorKind::kUsage);
  const auto swapped = find_range(repository_.path(), {"master"}, "start");
  ASSERT_TRUE(swapped) << swapped.error().message;
  const auto nothing = read_history(*swapped);
  ASSERT_FALSE(nothing);
  EXPECT_EQ(nothing.error().kind, ErrorKind::kUsage);
  EXPECT_THAT(nothing.error().message, HasSubstr("mixed up"));
}

}  // namespace
}  // namespace mmquake::bisect
