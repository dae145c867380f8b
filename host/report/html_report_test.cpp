// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/report/html_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "host/plan/test_tree.h"
#include "host/report/html_plots.h"
#include "host/report/synthetic_campaign.h"

namespace mmquake {
namespace {

using testing::HasSubstr;
using testing::Not;

CampaignReport sample() {
  return summarise(synthetic_campaign(), synthetic_trials(), {});
}

TEST(HtmlReport, HostileTextStaysText) {
  const std::string page = campaign_html(sample());
  EXPECT_THAT(page, HasSubstr("WARNING in &lt;script&gt;alert(1)&lt;/script&gt; &amp; #"));
  EXPECT_THAT(page, Not(HasSubstr("<script>alert")));
  EXPECT_THAT(page, Not(HasSubstr("\x1b")));
  EXPECT_THAT(page, HasSubstr("no &lt;space&gt;"));
  const std::string bug =
      bug_html(sample(), sample().bugs[0], "<img src=x onerror=alert(1)>\x1b[2J");
  EXPECT_THAT(bug, HasSubstr("&lt;img src=x"));
  EXPECT_THAT(bug, Not(HasSubstr("<img")));
  EXPECT_THAT(bug, Not(HasSubstr("\x1b")));
}

TEST(HtmlReport, HasEveryPart) {
  const std::string page = campaign_html(sample());
  for (const char* part : {"id=\"bugs\"", "id=\"kernels\"", "id=\"matrix\"", "id=\"broken\"",
                           "id=\"trials\"", "Time to detect", "Overlaps", "class=\"new\""}) {
    EXPECT_THAT(page, HasSubstr(part));
  }
  EXPECT_THAT(page, Not(HasSubstr("http:"))) << "nothing comes from a network";
  EXPECT_THAT(page, Not(HasSubstr("https:")));
  EXPECT_THAT(page, Not(HasSubstr("{{")));
}

TEST(HtmlReport, WithoutAFindingSaysSo) {
  auto trials = synthetic_trials();
  trials.resize(4);
  const std::string page = campaign_html(summarise(synthetic_campaign(), trials, {}));
  EXPECT_THAT(page, HasSubstr("None was found."));
  EXPECT_THAT(page, Not(HasSubstr("id=\"bugs\"")));
  EXPECT_THAT(page, Not(HasSubstr("Time to detect")));
}

TEST(HtmlReport, WritesAPageForEachBugWithItsEvidence) {
  const TestTree tree;
  const std::filesystem::path& root = tree.root();
  tree.write("trial/report.txt", "stack: f+0x1/0x2");
  CampaignReport report = sample();
  report.bugs[0].sample.directory = (root / "trial").string();
  auto written = write_html(report, root / "out");
  ASSERT_TRUE(written) << written.error().message;
  EXPECT_TRUE(std::filesystem::exists(root / "out/index.html"));
  std::ifstream in(root / "out" / ("bug-" + report.bugs[0].id + ".html"));
  std::stringstream page;
  page << in.rdbuf();
  EXPECT_THAT(page.str(), HasSubstr("stack: f+0x1/0x2"));
}

TEST(HtmlReport, SaysWhenItCannotWrite) {
  auto written = write_html(sample(), "/proc/nothing-can-be-made-here");
  ASSERT_FALSE(written);
  EXPECT_THAT(written.error().message, HasSubstr("/proc/nothing-can-be-made-here"));
}

TEST(HtmlPlots, DotsOfARowLieInOrderOnALogarithmicAxis) {
  const std::string svg = dot_rows_svg({{"a", {1, 10, 100}}}, "s");
  EXPECT_THAT(svg, HasSubstr("cx=\"90.0\""));
  EXPECT_THAT(svg, HasSubstr("cx=\"435.0\"")) << "10 is halfway between 1 and 100";
  EXPECT_THAT(svg, HasSubstr("cx=\"780.0\""));
  EXPECT_EQ(dot_rows_svg({}, "s"), "");
}

TEST(HtmlPlots, ManyDotsAreThinnedButNeverAFinding) {
  std::vector<Dot> dots;
  dots.reserve(10000);
  for (int i = 0; i < 10000; ++i) {
    dots.push_back({static_cast<double>(i), 5, i % 1000 == 7 ? "found" : "passed"});
  }
  const std::string svg = scatter_svg(dots, "trial", "overlaps");
  std::size_t found = 0;
  std::size_t all = 0;
  for (std::size_t at = svg.find("<circle"); at != std::string::npos;
       at = svg.find("<circle", at + 1)) {
    ++all;
    if (svg.compare(at, 25, "<circle class=\"dot found\" ", 25) == 0) ++found;
  }
  EXPECT_EQ(found, 10U);
  EXPECT_LT(all, 2100U);
  EXPECT_EQ(scatter_svg({}, "x", "y"), "");
}

}  // namespace
}  // namespace mmquake
