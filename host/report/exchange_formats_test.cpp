// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/report/exchange_formats.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <pugixml.hpp>
#include <regex>
#include <sstream>

#include "host/report/synthetic_campaign.h"

namespace mmquake {
namespace {

using nlohmann::json;
using testing::HasSubstr;

CampaignReport sample() {
  return summarise(synthetic_campaign(), synthetic_trials(), {});
}

TEST(Junit, KernelBugsAreFailuresAndTheHarnessesAreErrors) {
  pugi::xml_document document;
  const std::string xml = campaign_junit(sample());
  const auto parsed = document.load_string(xml.c_str());
  ASSERT_TRUE(parsed) << parsed.description() << "\n" << xml;
  for (const pugi::xml_node suite : document.child("testsuites").children("testsuite")) {
    EXPECT_EQ(suite.attribute("tests").as_int(), std::distance(suite.begin(), suite.end()));
    for (const char* kind : {"failure", "error", "skipped"}) {
      const std::string plural = std::string(kind) == "skipped" ? kind : std::string(kind) + "s";
      EXPECT_EQ(
          suite.attribute(plural.c_str()).as_int(),
          static_cast<int>(suite.select_nodes((std::string("testcase/") + kind).c_str()).size()));
    }
    for (const pugi::xml_node one : suite.children("testcase")) {
      EXPECT_FALSE(std::string(one.attribute("classname").as_string()).empty());
      EXPECT_GT(one.attribute("time").as_double(), 0);
    }
  }
  const auto specimen = document.select_node("//testsuite[@name='specimen']").node();
  EXPECT_EQ(specimen.attribute("failures").as_int(), 2);
  EXPECT_EQ(specimen.attribute("errors").as_int(), 1);
  EXPECT_THAT(specimen.select_node("testcase/failure").node().attribute("message").as_string(),
              HasSubstr("<script>"));
}

TEST(Junit, HoldsNothingThatXmlCannot) {
  for (const char c : campaign_junit(sample())) {
    EXPECT_TRUE(static_cast<unsigned char>(c) >= 0x20 || c == '\n' || c == '\t');
  }
}

// The rules of Documentation/dev-tools/ktap.rst: a version line, a plan, results numbered from 1
// without a gap, a subtest two columns deeper, nothing else but diagnostic lines.
void check_ktap(const std::vector<std::string>& lines, std::size_t& at, const std::string& indent) {
  static const std::regex plan("1\\.\\.([0-9]+)");
  static const std::regex result("(not )?ok ([0-9]+) [^#]+( # (SKIP|ERROR)( .*)?)?");
  const auto own = [&] {
    return at < lines.size() && lines[at].starts_with(indent) &&
           !lines[at].substr(indent.size()).starts_with(' ');
  };
  const auto text = [&] { return lines[at].substr(indent.size()); };
  ASSERT_TRUE(own() && text() == "KTAP version 1") << lines[at];
  ++at;
  if (own() && text().starts_with("# Subtest: ")) ++at;
  std::smatch match;
  ASSERT_TRUE(own());
  const std::string planned = text();
  ASSERT_TRUE(std::regex_match(planned, match, plan)) << planned;
  const int count = std::stoi(match[1]);
  ++at;
  for (int next = 1; next <= count;) {
    ASSERT_LT(at, lines.size()) << "result " << next << " is missing";
    if (lines[at].starts_with(indent + "  ")) {
      ASSERT_NO_FATAL_FAILURE(check_ktap(lines, at, indent + "  "));
      continue;
    }
    const std::string line = text();
    ++at;
    if (line.starts_with("# ")) continue;
    ASSERT_TRUE(std::regex_match(line, match, result)) << line;
    EXPECT_EQ(std::stoi(match[2]), next++);
  }
}

TEST(Ktap, FollowsTheKernelsRules) {
  const std::string text = campaign_ktap(sample());
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  std::size_t at = 0;
  ASSERT_NO_FATAL_FAILURE(check_ktap(lines, at, ""));
  EXPECT_EQ(at, lines.size()) << "something follows the last result";
  EXPECT_THAT(text, HasSubstr("\n  not ok 1 thp-split seed 1005\n"));
  EXPECT_THAT(text, HasSubstr("# ERROR host failure: : no <space>\n"));
  EXPECT_THAT(text, HasSubstr("# SKIP no /dev/ram0\n"));
  EXPECT_THAT(text, HasSubstr("\nnot ok 2 specimen\n"));
  EXPECT_THAT(text, HasSubstr("\nok 1 clean\n"));
}

// What kcidb-io's schema 5.3 demands of the objects that we send.
void check_object(const json& object, const std::string& origin) {
  static const std::regex id("[a-z0-9_]+:.*");
  EXPECT_EQ(object.at("origin"), origin);
  EXPECT_TRUE(std::regex_match(object.at("id").get<std::string>(), id));
  for (const auto& [name, value] : object.items()) EXPECT_FALSE(value.is_null()) << name;
}

TEST(Kcidb, FollowsItsSchema) {
  const json all = json::parse(campaign_kcidb(sample(), "mmquake"));
  EXPECT_EQ(all["version"], (json{{"major", 5}, {"minor", 3}}));
  std::set<std::string> checkouts;
  std::set<std::string> builds;
  for (const json& one : all["checkouts"]) {
    check_object(one, "mmquake");
    EXPECT_TRUE(checkouts.insert(one["id"]).second) << "sent twice";
  }
  for (const json& one : all["builds"]) {
    check_object(one, "mmquake");
    EXPECT_TRUE(builds.insert(one["id"]).second) << "sent twice";
    EXPECT_TRUE(checkouts.contains(one.at("checkout_id")));
  }
  std::map<std::string, int> statuses;
  static const std::regex path("[.a-zA-Z0-9_-]*");
  static const std::regex time("\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\+00:00");
  for (const json& one : all["tests"]) {
    check_object(one, "mmquake");
    EXPECT_TRUE(builds.contains(one.at("build_id")));
    EXPECT_TRUE(std::regex_match(one.at("path").get<std::string>(), path));
    EXPECT_TRUE(std::regex_match(one.at("start_time").get<std::string>(), time));
    EXPECT_LE(one.value("log_excerpt", "").size(), 16384U);
    ++statuses[one.at("status")];
  }
  EXPECT_EQ(statuses,
            (std::map<std::string, int>{{"FAIL", 2}, {"MISS", 1}, {"PASS", 4}, {"SKIP", 1}}));
}

TEST(Kcidb, LeavesOutATrialWithoutAKernel) {
  auto trials = synthetic_trials();
  trials[6].kernel_key.clear();
  const json all =
      json::parse(campaign_kcidb(summarise(synthetic_campaign(), trials, {}), "mmquake"));
  EXPECT_EQ(all["tests"].size(), 7U);
}

}  // namespace
}  // namespace mmquake
