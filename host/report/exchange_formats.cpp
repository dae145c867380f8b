// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/report/exchange_formats.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <pugixml.hpp>
#include <sstream>

#include "host/console/console.h"

namespace mmquake {
namespace {

using nlohmann::json;

std::string headline(const StoredTrial& trial) {
  if (trial.verdict == Outcome::kFound && !trial.findings.empty()) return trial.findings[0].title;
  return trial.reason.substr(0, trial.reason.find('\n'));
}

// Escaped for a terminal, so without control characters; on one line.
std::string one_line(const std::string& text) {
  std::string out = escape_for_terminal(text);
  std::replace_if(
      out.begin(), out.end(), [](char c) { return c == '\n' || c == '\t' || c == '\r'; }, ' ');
  return out;
}

std::string details(const StoredTrial& trial) {
  std::string out;
  for (const StoredFinding& finding : trial.findings) {
    out += fmt::format("{} ({}, after {:.1f} s)\n", escape_for_terminal(finding.title),
                       finding.kind, finding.seconds);
  }
  if (!trial.reason.empty()) out += escape_for_terminal(trial.reason) + "\n";
  out += fmt::format("files: {}\nagain: {}\n", trial.directory, trial.repeat);
  return out;
}

void add_case(pugi::xml_node suite, const StoredTrial& trial) {
  pugi::xml_node node = suite.append_child("testcase");
  node.append_attribute("classname") =
      fmt::format("mmquake.{}.{}", trial.kernel, trial.item).c_str();
  node.append_attribute("name") = fmt::format("trial {} seed {}", trial.number, trial.seed).c_str();
  node.append_attribute("time") = fmt::format("{:.3f}", trial.wall_seconds).c_str();
  const auto tell = [&](const char* element, const std::string& type) {
    pugi::xml_node child = node.append_child(element);
    child.append_attribute("message") = one_line(headline(trial)).c_str();
    if (!type.empty()) {
      child.append_attribute("type") = one_line(type).c_str();
      child.text().set(details(trial).c_str());
    }
  };
  switch (trial.verdict) {
    case Outcome::kPassed:
      break;
    case Outcome::kFound:
      tell("failure", trial.findings.empty() ? "finding" : trial.findings[0].kind);
      break;
    case Outcome::kBroken:
      tell("error", "broken");
      break;
    case Outcome::kSkipped:
      tell("skipped", "");
      break;
  }
}

std::vector<const StoredTrial*> of_kernel(const CampaignReport& report, const std::string& kernel) {
  std::vector<const StoredTrial*> out;
  for (const StoredTrial& trial : report.trials) {
    if (trial.kernel == kernel) out.push_back(&trial);
  }
  return out;
}

// KTAP takes what stands before '#' as the test's name.
std::string ktap_text(const std::string& text) {
  std::string out = one_line(text);
  std::replace(out.begin(), out.end(), '#', ':');
  return out;
}

std::string ktap_line(const KtapEntry& entry, std::size_t number, const std::string& indent) {
  const std::string name = ktap_text(entry.name);
  const std::string headline = ktap_text(entry.headline);
  switch (entry.verdict) {
    case Outcome::kPassed:
      return fmt::format("{}ok {} {}\n", indent, number, name);
    case Outcome::kSkipped:
      return fmt::format("{}ok {} {} # SKIP {}\n", indent, number, name, headline);
    case Outcome::kBroken:
      return fmt::format("{}not ok {} {} # ERROR {}\n", indent, number, name, headline);
    case Outcome::kFound:
      break;
  }
  return fmt::format("{0}# {1}: {2}\n{0}# again: {3}\n{0}not ok {4} {1}\n", indent, name, headline,
                     one_line(entry.repeat), number);
}

KtapEntry ktap_entry(const StoredTrial& trial) {
  return {trial.verdict, fmt::format("{} seed {}", trial.item, trial.seed), headline(trial),
          trial.repeat};
}

// "2026-11-26T13:05:59+00:00", as RFC 3339 has it.
std::string rfc3339(double seconds) {
  std::string text = utc_time(seconds);
  std::replace(text.begin(), text.end(), ' ', 'T');
  return text + "+00:00";
}

const char* kcidb_status(Outcome outcome) {
  switch (outcome) {
    case Outcome::kPassed:
      return "PASS";
    case Outcome::kFound:
      return "FAIL";
    case Outcome::kSkipped:
      return "SKIP";
    case Outcome::kBroken:
      break;
  }
  return "MISS";
}

// A path component: letters, digits, '_' and '-'.
std::string kcidb_name(const std::string& text) {
  std::string out;
  for (const char c : text) {
    const bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '-' || c == '_';
    out += good ? c : '_';
  }
  return out;
}

json kcidb_test(const StoredTrial& trial, const std::string& id, const std::string& build,
                const std::string& origin) {
  json out = {{"id", id},
              {"build_id", build},
              {"origin", origin},
              {"path", "mmquake." + kcidb_name(trial.item)},
              {"status", kcidb_status(trial.verdict)},
              {"duration", trial.wall_seconds},
              {"comment", fmt::format("{} on {}, seed {}", trial.item, trial.machine, trial.seed)},
              {"misc",
               {{"rounds", trial.rounds},
                {"migrations", trial.migrations},
                {"overlaps", trial.overlaps},
                {"repeat", trial.repeat}}}};
  // KCIDB's own issues are kept by whoever triages; these names let them match ours.
  if (trial.verdict == Outcome::kFound) {
    for (const StoredFinding& finding : trial.findings) {
      out["misc"]["bugs"].push_back({{"id", bug_id(finding.signature)},
                                     {"signature", one_line(finding.signature)},
                                     {"title", one_line(finding.title)}});
    }
  }
  if (trial.started_at > 0) out["start_time"] = rfc3339(trial.started_at);
  constexpr std::size_t kMaxExcerpt = 16384;
  const std::string excerpt = details(trial);
  if (trial.verdict != Outcome::kPassed) out["log_excerpt"] = excerpt.substr(0, kMaxExcerpt);
  return out;
}

}  // namespace

std::string campaign_junit(const CampaignReport& report) {
  pugi::xml_document document;
  pugi::xml_node suites = document.append_child("testsuites");
  suites.append_attribute("name") = report.campaign.name.c_str();
  for (const auto& [kernel, tally] : report.kernels) {
    pugi::xml_node suite = suites.append_child("testsuite");
    const std::vector<const StoredTrial*> trials = of_kernel(report, kernel);
    double time = 0;
    for (const StoredTrial* trial : trials) time += trial->wall_seconds;
    suite.append_attribute("name") = kernel.c_str();
    suite.append_attribute("tests") = std::to_string(tally.trials).c_str();
    suite.append_attribute("failures") = std::to_string(tally.found).c_str();
    suite.append_attribute("errors") = std::to_string(tally.broken).c_str();
    suite.append_attribute("skipped") = std::to_string(tally.skipped).c_str();
    suite.append_attribute("time") = fmt::format("{:.3f}", time).c_str();
    for (const StoredTrial* trial : trials) add_case(suite, *trial);
  }
  std::ostringstream out;
  document.save(out, "  ");
  return out.str();
}

std::string campaign_ktap(const CampaignReport& report) {
  std::string out = fmt::format("KTAP version 1\n1..{}\n", report.kernels.size());
  std::size_t number = 0;
  for (const auto& [kernel, tally] : report.kernels) {
    out += fmt::format("  KTAP version 1\n  # Subtest: {}\n  1..{}\n", ktap_text(kernel),
                       tally.trials);
    std::size_t line = 0;
    for (const StoredTrial* trial : of_kernel(report, kernel)) {
      out += ktap_line(ktap_entry(*trial), ++line, "  ");
    }
    const bool good = tally.found == 0 && tally.broken == 0;
    out += fmt::format("{} {} {}\n", good ? "ok" : "not ok", ++number, ktap_text(kernel));
  }
  return out;
}

std::string ktap_document(const std::vector<KtapEntry>& entries) {
  std::string out = fmt::format("KTAP version 1\n1..{}\n", entries.size());
  std::size_t number = 0;
  for (const KtapEntry& entry : entries) out += ktap_line(entry, ++number, "");
  return out;
}

std::string campaign_kcidb(const CampaignReport& report, const std::string& origin) {
  json checkouts = json::array();
  json builds = json::array();
  json tests = json::array();
  std::map<std::string, std::string> build_of;
  for (const StoredTrial& trial : report.trials) {
    // A trial that never got its kernel belongs to no build.
    if (trial.kernel_key.empty()) continue;
    const std::string build = fmt::format("{}:{}", origin, trial.kernel_key);
    if (build_of.emplace(trial.kernel_key, build).second) {
      checkouts.push_back(
          {{"id", build},
           {"origin", origin},
           {"comment", one_line(fmt::format("{} {}", trial.kernel, trial.kernel_release))}});
      builds.push_back({{"id", build},
                        {"checkout_id", build},
                        {"origin", origin},
                        {"architecture", "x86_64"},
                        {"config_name", trial.kernel},
                        {"status", "PASS"}});
    }
    tests.push_back(kcidb_test(
        trial,
        fmt::format("{}:{}-{}-{}", origin, report.campaign.seed, report.campaign.id, trial.number),
        build, origin));
  }
  const json all = {{"version", {{"major", 5}, {"minor", 3}}},
                    {"checkouts", checkouts},
                    {"builds", builds},
                    {"tests", tests}};
  return all.dump(2, ' ', false, json::error_handler_t::replace);
}

}  // namespace mmquake
