// SPDX-License-Identifier: GPL-2.0-or-later
//
// The report in a headless Chromium: it renders, sorts, filters, fits a phone, can be read in the
// dark, prints no error, and what a guest wrote stays text. What is checked is in
// browser_checks.js. ctest label browser; skipped where there is no Chromium (./deps.sh browser
// installs it).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "host/plan/test_tree.h"
#include "host/process/process.h"
#include "host/report/html_report.h"
#include "host/report/synthetic_campaign.h"

namespace mmquake {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::MatchesRegex;

// 1 s on a host that is idle, a hundred times that when VMs have it to themselves.
constexpr auto kLongest = std::chrono::seconds(280);

// The first of these in PATH; empty without one.
std::string browser() {
  const char* path = std::getenv("PATH");
  for (std::string rest = path == nullptr ? "" : path; !rest.empty();) {
    const std::size_t end = rest.find(':');
    for (const char* name : {"chromium", "chromium-browser", "google-chrome"}) {
      std::error_code missing;
      const fs::path program = fs::path(rest.substr(0, end)) / name;
      if (fs::exists(program, missing)) return program.string();
    }
    rest.erase(0, end == std::string::npos ? end : end + 1);
  }
  return "";
}

std::string hostile(const std::string& before) {
  return before + " <script>hacked=1</script> \"><img src=x onerror=\"hacked=1\"> \x1b[31m" +
         std::string(1, '\0') + " {{title}} </style></pre></table> " + std::string(300, 'W');
}

std::vector<StoredTrial> trials() {
  std::vector<StoredTrial> out = synthetic_trials();
  for (StoredTrial& trial : out) {
    for (StoredFinding& finding : trial.findings) {
      finding.title = hostile("WARNING in f");
      finding.kind = hostile("kind");
      finding.signature = hostile("signature");
    }
  }
  out[6].reason = hostile("host failure");
  const char* const backings[] = {"anon-4k", "anon-thp", "shmem-thp", "hugetlb-1g", "ksm"};
  const char* const movers[] = {"move_pages",        "mbind",      "migrate_pages",
                                "memory-hot-remove", "compaction", "soft-offline"};
  const char* const disturbers[] = {"none", "split", "fork-cow", "swapoff", "process_vm_readv"};
  for (std::uint64_t n = 10; n < 110; ++n) {
    // Few of the pairs often, many seldom, some never.
    const std::uint64_t often = n % 3 == 0 ? 0 : n;
    out.push_back(composed_trial(n, n == 77 ? Outcome::kFound : Outcome::kPassed,
                                 {{"backing", backings[often % 5]},
                                  {"mover", movers[often * often % 6]},
                                  {"disturber", disturbers[often % 7 % 5]}}));
    if (n == 77) out.back().findings = {stored_finding("WARNING in g", 3)};
  }
  return out;
}

std::string attribute(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '&') {
      out += "&amp;";
    } else if (c == '"') {
      out += "&quot;";
    } else {
      out += c;
    }
  }
  return out;
}

std::string frame(const std::string& name, int width, const std::string& page) {
  return "<iframe name=\"" + name + "\" width=\"" + std::to_string(width) +
         "\" height=\"800\" srcdoc=\"" + attribute(page) + "\"></iframe>\n";
}

// The pages as they are, each in a frame as wide as a phone and in one as wide as a desk's screen.
std::string pages() {
  const CampaignReport report = summarise(synthetic_campaign(), trials(), {});
  const std::string campaign = campaign_html(report);
  const std::string bug = bug_html(report, report.bugs[0], hostile("evidence"));
  std::ifstream script(std::string(MMQUAKE_SOURCE_DIR) + "/host/report/browser_checks.js");
  const std::string checks(std::istreambuf_iterator<char>(script), {});
  EXPECT_FALSE(checks.empty());
  return "<!doctype html><meta charset=\"utf-8\"><title>checks</title>\n" +
         frame("campaign on a phone", 360, campaign) + frame("campaign on a desk", 1280, campaign) +
         frame("bug on a phone", 360, bug) + frame("bug on a desk", 1280, bug) + "<script>" +
         checks + "</script>\n";
}

// What the page printed to its console.
std::vector<std::string> console_of(const fs::path& page, const fs::path& profile, bool dark) {
  std::vector<std::string> lines;
  const auto began = std::chrono::steady_clock::now();
  // As root there is no sandbox, and the pages are ours.
  const Command command = {
      {browser(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
       "--no-first-run", "--disable-background-networking", "--enable-logging=stderr",
       "--user-data-dir=" + profile.string(), "--window-size=1400,1000",
       std::string("--blink-settings=preferredColorScheme=") + (dark ? "0" : "1"), "--dump-dom",
       "file://" + page.string()},
      {},
      {}};
  const auto ran = run_command(
      command,
      [&](std::string_view line) {
        if (line.find("CONSOLE") != std::string_view::npos) lines.emplace_back(line);
      },
      [&] { return std::chrono::steady_clock::now() - began > kLongest; });
  EXPECT_TRUE(ran) << ran.error().message;
  return lines;
}

class HtmlInBrowser : public testing::TestWithParam<bool> {};

TEST_P(HtmlInBrowser, RendersSortsFiltersAndRunsNothingOfAGuest) {
  if (browser().empty()) GTEST_SKIP() << "no chromium in PATH: ./deps.sh browser installs it";
  const TestTree tree;
  const fs::path page = tree.write("checks.html", pages());
  const std::string scheme = GetParam() ? "dark" : "light";
  EXPECT_THAT(
      console_of(page, tree.root() / "profile", GetParam()),
      ElementsAre(MatchesRegex(".*\"mmquake: " + scheme + ", [0-9]+ checks, failed: \\.\".*")));
}

INSTANTIATE_TEST_SUITE_P(Schemes, HtmlInBrowser, testing::Bool(),
                         [](const testing::TestParamInfo<bool>& dark) {
                           return dark.param ? "Dark" : "Light";
                         });

}  // namespace
}  // namespace mmquake
