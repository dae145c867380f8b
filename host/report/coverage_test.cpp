// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/report/coverage.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "host/report/html_report.h"
#include "host/report/synthetic_campaign.h"

namespace mmquake {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

StoredTrial composed(Outcome verdict, const std::string& backing, const std::string& mover,
                     const std::string& disturber, const std::string& disturber2 = "none") {
  static std::uint64_t number = 0;
  return composed_trial(++number, verdict,
                        {{"backing", backing},
                         {"mover", mover},
                         {"disturber", disturber},
                         {"disturber2", disturber2}});
}

std::vector<StoredTrial> trials() {
  return {composed(Outcome::kPassed, "anon-thp", "move_pages", "fork-cow", "split-debugfs"),
          composed(Outcome::kPassed, "anon-thp", "move_pages", "none"),
          composed(Outcome::kFound, "anon-thp", "mbind", "split-debugfs", "split-debugfs"),
          composed(Outcome::kSkipped, "hugetlb-2m", "mbind", "mlock"),
          composed(Outcome::kBroken, "shmem-4k", "mbind", "mlock")};
}

TEST(Coverage, CountsPairsOfWhatOccurs) {
  const auto maps = coverage(trials());
  ASSERT_THAT(maps, SizeIs(3));
  const auto cell = [&](const char* row, const char* column) {
    return cell_at(maps[0], row, column);
  };
  EXPECT_EQ(cell("anon-thp", "move_pages").ran, 2U);
  EXPECT_EQ(cell("anon-thp", "mbind").found, 1U);
  EXPECT_EQ(cell("hugetlb-2m", "mbind").ran, 0U) << "it was skipped";
  EXPECT_EQ(cell("hugetlb-2m", "mbind").skipped, 1U);
  EXPECT_EQ(cell("shmem-4k", "move_pages").broken, 0U);
  EXPECT_EQ(maps[2].row_param + " " + maps[2].column_param, "mover disturber");
  EXPECT_EQ(cell_at(maps[2], "mbind", "split-debugfs").ran, 1U);
}

TEST(Coverage, ATrialCountsForEachOfItsDisturbersOnce) {
  const CoverageMap map = coverage(trials())[1];
  EXPECT_EQ(cell_at(map, "anon-thp", "fork-cow").ran, 1U);
  EXPECT_EQ(cell_at(map, "anon-thp", "split-debugfs").ran, 2U) << "twice the same is once";
  EXPECT_EQ(cell_at(map, "anon-thp", "none").ran, 1U) << "none beside another is nothing";
}

TEST(Coverage, KnowsEveryWordAndWhatDoesNotGoTogether) {
  auto all = trials();
  all.push_back(composed(Outcome::kPassed, "anon-thp", "a new one", "dontneed"));
  const CoverageMap map = coverage(all)[0];
  EXPECT_THAT(map.rows, SizeIs(ingredients(Slot::kBacking).size()));
  EXPECT_EQ(map.columns.front(), "none");
  EXPECT_EQ(map.columns.back(), "a new one");
  EXPECT_TRUE(map.impossible.contains({"hugetlb-2m", "compaction"}));
  EXPECT_FALSE(map.impossible.contains({"hugetlb-2m", "move_pages"}));
  EXPECT_FALSE(map.impossible.contains({"anon-thp", "a new one"}));
  EXPECT_EQ(coverage_words(map),
            fmt::format("3 of {} pairs have run",
                        map.rows.size() * map.columns.size() - map.impossible.size()));
}

TEST(Coverage, WhatRanIsNotImpossibleWhateverTheRulesSayToday) {
  const auto maps = coverage({composed(Outcome::kPassed, "hugetlb-2m", "compaction", "mlock")});
  EXPECT_EQ(cell_at(maps[0], "hugetlb-2m", "compaction").ran, 1U);
  EXPECT_FALSE(maps[0].impossible.contains({"hugetlb-2m", "compaction"}));
}

TEST(Coverage, HeatIsLogarithmicAndZeroIsCold) {
  CoverageMap map;
  map.most = 1000;
  EXPECT_EQ(heat_of(map, {}), 0);
  EXPECT_EQ(heat_of(map, {.ran = 1}), 1);
  EXPECT_EQ(heat_of(map, {.ran = 32}), 3);
  EXPECT_EQ(heat_of(map, {.ran = 1000}), 5);
  map.most = 1;
  EXPECT_EQ(heat_of(map, {.ran = 1}), 5);
}

TEST(Coverage, OnlyTheComposersEndedTrialsCount) {
  EXPECT_THAT(coverage(synthetic_trials()), IsEmpty());
  auto open = trials();
  for (StoredTrial& trial : open) trial.state = TrialState::kRunning;
  EXPECT_THAT(coverage(open), IsEmpty());
  EXPECT_EQ(coverage_text({}), "");
  EXPECT_THAT(campaign_html(summarise(synthetic_campaign(), synthetic_trials(), {})),
              Not(HasSubstr("class=\"heat\"")));
}

TEST(Coverage, AsText) {
  CoverageMap map;
  map.row_param = "backing";
  map.column_param = "mover";
  map.rows = {"shmem-4k", "hugetlb-2m", "anon-thp"};
  map.columns = {"mbind", "move_pages", "compaction"};
  map.cells = {{{"anon-thp", "mbind"}, {.ran = 1, .found = 1}},
               {{"anon-thp", "move_pages"}, {.ran = 2}},
               {{"hugetlb-2m", "mbind"}, {.skipped = 1}},
               {{"shmem-4k", "mbind"}, {.broken = 1}}};
  map.impossible = {{"hugetlb-2m", "compaction"}};
  EXPECT_EQ(coverage_text({map}),
            "\nbacking x mover: 2 of 8 pairs have run\n"
            "                       a    b    c \n"
            "  shmem-4k             x    .    . \n"
            "  hugetlb-2m           -    .      \n"
            "  anon-thp             1!   2    . \n"
            "  a mbind, b move_pages, c compaction\n"
            "  trials that ran; ! found something, . never ran, - skipped, x broken,\n"
            "  nothing: the two do not go together\n");
  auto hostile = trials();
  hostile[0].params["mover"] = "\x1b[31m<script>";
  EXPECT_THAT(coverage_text(coverage(hostile)), Not(HasSubstr("\x1b")));
}

TEST(Coverage, AsJson) {
  const nlohmann::json maps = coverage_json(coverage(trials()));
  ASSERT_EQ(maps.size(), 3U);
  EXPECT_EQ(maps[0]["column"], "mover");
  const auto& pairs = maps[0]["pairs"];
  const auto is = [](const char* backing, const char* mover) {
    return [=](const nlohmann::json& one) {
      return one["backing"] == backing && one["mover"] == mover;
    };
  };
  const auto found = std::find_if(pairs.begin(), pairs.end(), is("anon-thp", "mbind"));
  ASSERT_NE(found, pairs.end());
  EXPECT_EQ((*found)["ran"], 1);
  EXPECT_EQ((*found)["found"], 1);
  EXPECT_EQ(std::count_if(pairs.begin(), pairs.end(), is("hugetlb-2m", "compaction")), 0);
}

TEST(Coverage, AsHtml) {
  auto hostile = trials();
  hostile[0].params["backing"] = "\"><img src=x onerror=alert(1)>\x1b";
  const std::string page = campaign_html(summarise(synthetic_campaign(), hostile, {}));
  EXPECT_THAT(page, HasSubstr("<h2>backing &times; mover</h2>"));
  EXPECT_THAT(page, HasSubstr("class=\"h0\" title=\"shmem-4k, move_pages: 0 ran, 0 found"));
  EXPECT_THAT(page, HasSubstr("class=\"hx\" title=\"hugetlb-2m, compaction: do not go together"));
  EXPECT_THAT(page, HasSubstr("class=\"h5 hit\""));
  EXPECT_THAT(page, HasSubstr("1 found</b>"));
  EXPECT_THAT(page, HasSubstr(">skipped"));
  EXPECT_THAT(page, Not(HasSubstr("<img")));
  EXPECT_THAT(page, Not(HasSubstr("\x1b")));
}

}  // namespace
}  // namespace mmquake
