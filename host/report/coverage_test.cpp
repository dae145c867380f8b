// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/report/coverage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/report/html_report.h"
#include "host/report/synthetic_campaign.h"

namespace mmquake {
namespace {

using testing::ElementsAre;
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
  return {composed(Outcome::kPassed, "anon-thp", "move_pages", "fork-cow", "split"),
          composed(Outcome::kPassed, "anon-thp", "move_pages", "none"),
          composed(Outcome::kFound, "anon-thp", "mbind", "split", "split"),
          composed(Outcome::kSkipped, "hugetlb-1g", "mbind", "split"),
          composed(Outcome::kBroken, "shmem", "mbind", "split")};
}

WorkloadParam choice(const std::string& name, const std::vector<std::string>& choices) {
  WorkloadParam out;
  out.name = name;
  out.type = WorkloadParam::Type::kChoice;
  out.choices = choices;
  out.default_value = choices.at(0);
  return out;
}

WorkloadDescription composer() {
  WorkloadDescription out;
  out.name = kComposer;
  out.params = {choice("backing", {"shmem", "ksm", "anon-thp", "hugetlb-1g"}),
                choice("mover", {"mbind", "move_pages", "compaction"}),
                choice("disturber", {"none", "split", "fork-cow"})};
  return out;
}

TEST(Coverage, CountsPairsOfWhatOccurs) {
  const auto maps = coverage(trials());
  ASSERT_THAT(maps, SizeIs(2));
  EXPECT_THAT(maps[0].rows, ElementsAre("anon-thp", "hugetlb-1g", "shmem"));
  EXPECT_THAT(maps[0].columns, ElementsAre("mbind", "move_pages"));
  EXPECT_EQ(cell_at(maps[0], "anon-thp", "move_pages").ran, 2U);
  EXPECT_EQ(cell_at(maps[0], "anon-thp", "mbind").found, 1U);
  EXPECT_EQ(cell_at(maps[0], "hugetlb-1g", "mbind").ran, 0U) << "it was skipped";
  EXPECT_EQ(cell_at(maps[0], "hugetlb-1g", "mbind").skipped, 1U);
  EXPECT_EQ(cell_at(maps[0], "shmem", "move_pages").broken, 0U);
  EXPECT_EQ(coverage_words(maps[0]), "2 of 6 pairs have run");
}

TEST(Coverage, ATrialCountsForEachOfItsDisturbersOnce) {
  const CoverageMap map = coverage(trials())[1];
  EXPECT_THAT(map.columns, ElementsAre("fork-cow", "none", "split"));
  EXPECT_EQ(cell_at(map, "anon-thp", "fork-cow").ran, 1U);
  EXPECT_EQ(cell_at(map, "anon-thp", "split").ran, 2U) << "twice the same is once";
  EXPECT_EQ(cell_at(map, "anon-thp", "none").ran, 1U) << "none beside another is nothing";
}

TEST(Coverage, TheWorkloadKnowsAllChoicesTheirOrderAndDefaults) {
  const WorkloadDescription known = composer();
  auto all = trials();
  all.push_back(composed(Outcome::kPassed, "anon-thp", "a new one", "split"));
  all.push_back(composed_trial(99, Outcome::kPassed, {{"mover", "compaction"}}));
  const CoverageMap map = coverage(all, &known)[0];
  EXPECT_THAT(map.rows, ElementsAre("shmem", "ksm", "anon-thp", "hugetlb-1g"));
  EXPECT_THAT(map.columns, ElementsAre("mbind", "move_pages", "compaction", "a new one"));
  EXPECT_EQ(cell_at(map, "shmem", "compaction").ran, 1U) << "its backing was the default";
  EXPECT_EQ(cell_at(map, "ksm", "mbind").ran, 0U);
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
  const WorkloadDescription known = composer();
  EXPECT_EQ(coverage_text({coverage(trials(), &known)[0]}),
            "\nbacking x mover: 2 of 12 pairs have run\n"
            "                       a    b    c \n"
            "  shmem                x    .    . \n"
            "  ksm                  .    .    . \n"
            "  anon-thp             1!   2    . \n"
            "  hugetlb-1g           -    .    . \n"
            "  a mbind, b move_pages, c compaction\n"
            "  trials that ran; ! found something, . never ran, - skipped, x broken\n");
  auto hostile = trials();
  hostile[0].params["mover"] = "\x1b[31m<script>";
  EXPECT_THAT(coverage_text(coverage(hostile)), Not(HasSubstr("\x1b")));
}

TEST(Coverage, AsHtml) {
  auto hostile = trials();
  hostile[0].params["backing"] = "\"><img src=x onerror=alert(1)>\x1b";
  const std::string page = campaign_html(summarise(synthetic_campaign(), hostile, {}));
  EXPECT_THAT(page, HasSubstr("<h2>backing &times; mover</h2>"));
  EXPECT_THAT(page, HasSubstr("class=\"h0\" title=\"shmem, move_pages: 0 ran, 0 found"));
  EXPECT_THAT(page, HasSubstr("class=\"h5 hit\""));
  EXPECT_THAT(page, HasSubstr("1 found</b>"));
  EXPECT_THAT(page, HasSubstr(">skipped"));
  EXPECT_THAT(page, Not(HasSubstr("<img")));
  EXPECT_THAT(page, Not(HasSubstr("\x1b")));
}

}  // namespace
}  // namespace mmquake
