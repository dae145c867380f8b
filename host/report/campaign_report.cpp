// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/report/campaign_report.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <xxhash.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "host/campaign/rates.h"
#include "host/console/console.h"
#include "host/report/report.h"

namespace mmquake {
namespace {

using nlohmann::json;

void count(Tally& tally, const StoredTrial& trial) {
  ++tally.trials;
  tally.rounds += trial.rounds;
  tally.migrations += trial.migrations;
  tally.overlaps += trial.overlaps;
  switch (trial.verdict) {
    case Outcome::kPassed:
      ++tally.passed;
      tally.passed_seconds += trial.seconds;
      break;
    case Outcome::kFound:
      ++tally.found;
      break;
    case Outcome::kBroken:
      ++tally.broken;
      break;
    case Outcome::kSkipped:
      ++tally.skipped;
      break;
  }
}

void add_sighting(BugEntry& bug, const StoredTrial& trial, const StoredFinding& finding) {
  const bool first = bug.trials.empty();
  if (first) {
    bug.id = bug_id(finding.signature);
    bug.signature = finding.signature;
    bug.title = finding.title;
    bug.kind = finding.kind;
    bug.source = finding.source;
    bug.first_seen = trial.ended_at;
  }
  const double best =
      bug.seconds.empty() ? 0 : *std::min_element(bug.seconds.begin(), bug.seconds.end());
  if (first || (finding.seconds > 0 && (bug.seconds.empty() || finding.seconds < best))) {
    bug.sample = trial;
  }
  if (finding.seconds > 0) bug.seconds.push_back(finding.seconds);
  bug.first_seen = std::min(bug.first_seen, trial.ended_at);
  bug.last_seen = std::max(bug.last_seen, trial.ended_at);
  bug.kernels.insert(trial.kernel);
  bug.items.insert(trial.item);
  bug.trials.push_back(trial_name(trial));
}

std::vector<BrokenEntry> broken_reasons(const std::vector<StoredTrial>& trials) {
  std::map<std::string, BrokenEntry> by_reason;
  for (const StoredTrial& trial : trials) {
    if (trial.verdict != Outcome::kBroken) continue;
    BrokenEntry& entry = by_reason[trial.reason.substr(0, trial.reason.find('\n'))];
    if (entry.count++ == 0) entry.first_trial = trial.number;
  }
  std::vector<BrokenEntry> out;
  for (auto& [reason, entry] : by_reason) {
    entry.reason = reason;
    out.push_back(std::move(entry));
  }
  std::stable_sort(out.begin(), out.end(),
                   [](const BrokenEntry& a, const BrokenEntry& b) { return a.count > b.count; });
  return out;
}

json bug_json(const BugEntry& bug) {
  json out = {{"id", bug.id},
              {"signature", bug.signature},
              {"title", bug.title},
              {"kind", bug.kind},
              {"source", bug.source},
              {"new", bug.fresh},
              {"first_seen", utc_time(bug.first_seen)},
              {"last_seen", utc_time(bug.last_seen)},
              {"kernels", bug.kernels},
              {"items", bug.items},
              {"trials", bug.trials},
              {"seconds", bug.seconds},
              {"directory", bug.sample.directory},
              {"repeat", bug.sample.repeat}};
  if (!bug.seconds.empty()) out["seconds_median"] = percentile(bug.seconds, 0.5);
  return out;
}

std::string how_soon(const BugEntry& bug) {
  if (bug.seconds.empty()) return "";
  return fmt::format(", after {:.1f} s (median)", percentile(bug.seconds, 0.5));
}

}  // namespace

std::string bug_id(const std::string& signature) {
  return fmt::format("{:016x}", XXH3_64bits(signature.data(), signature.size())).substr(0, 8);
}

std::vector<BugEntry> distinct_bugs(const std::vector<StoredTrial>& trials,
                                    const std::set<std::string>& earlier) {
  std::map<std::string, BugEntry> by_signature;
  for (const StoredTrial& trial : trials) {
    // What a broken trial saw is unconfirmed.
    if (trial.verdict != Outcome::kFound) continue;
    std::set<std::string> seen;
    for (const StoredFinding& finding : trial.findings) {
      if (!seen.insert(finding.signature).second) continue;
      add_sighting(by_signature[finding.signature], trial, finding);
    }
  }
  std::vector<BugEntry> bugs;
  for (auto& [signature, bug] : by_signature) {
    bug.fresh = !earlier.contains(signature);
    bugs.push_back(std::move(bug));
  }
  std::stable_sort(bugs.begin(), bugs.end(), [](const BugEntry& a, const BugEntry& b) {
    if (a.fresh != b.fresh) return a.fresh;
    return a.trials.size() > b.trials.size();
  });
  return bugs;
}

std::string trial_name(const StoredTrial& trial) {
  return fmt::format("{}/{}", trial.campaign, trial.number);
}

std::string utc_time(double seconds) {
  if (seconds <= 0) return "-";
  return fmt::format("{:%Y-%m-%d %H:%M:%S}", fmt::gmtime(static_cast<std::time_t>(seconds)));
}

CampaignReport summarise(StoredCampaign campaign, std::vector<StoredTrial> trials,
                         const std::set<std::string>& earlier) {
  CampaignReport report;
  report.campaign = std::move(campaign);
  const auto open = std::stable_partition(
      trials.begin(), trials.end(),
      [](const StoredTrial& trial) { return trial.state == TrialState::kEnded; });
  report.open_trials = static_cast<std::uint64_t>(trials.end() - open);
  trials.erase(open, trials.end());
  for (const StoredTrial& trial : trials) {
    count(report.total, trial);
    count(report.kernels[trial.kernel], trial);
    count(report.cells[{trial.kernel, trial.item}], trial);
  }
  report.bugs = distinct_bugs(trials, earlier);
  report.broken = broken_reasons(trials);
  report.coverage = coverage(trials);
  report.trials = std::move(trials);
  return report;
}

std::string bug_text(const BugEntry& bug, const std::string& program) {
  std::string out = fmt::format("{}\n\n", escape_for_terminal(bug.title));
  out +=
      fmt::format("bug         {} ({}, said by the {}{})\n", bug.id, escape_for_terminal(bug.kind),
                  bug.source == "oracle" ? "workload's oracle" : "kernel's console",
                  bug.fresh ? ", new in this campaign" : "");
  out += fmt::format("signature   {}\n", escape_for_terminal(bug.signature));
  out += fmt::format("kernels     {}\n", fmt::join(bug.kernels, ", "));
  out += fmt::format("found by    {}\n", fmt::join(bug.items, ", "));
  out += fmt::format("seen        {} to {} UTC, {} trial{}{}\n", utc_time(bug.first_seen),
                     utc_time(bug.last_seen), thousands(bug.trials.size()),
                     bug.trials.size() == 1 ? "" : "s", how_soon(bug));
  out += fmt::format(
      "trials      {}\n",
      fmt::join(bug.trials.begin(),
                bug.trials.begin() +
                    static_cast<std::ptrdiff_t>(std::min<std::size_t>(bug.trials.size(), 20)),
                ", "));
  out += fmt::format("evidence    {}\n", bug.sample.directory);
  out += fmt::format("again       {}\n", bug.sample.repeat);
  out += fmt::format("or          {} replay {}\n", program, trial_name(bug.sample));
  return out;
}

std::string bugs_json(const std::vector<BugEntry>& bugs) {
  json out = json::array();
  for (const BugEntry& bug : bugs) out.push_back(bug_json(bug));
  return out.dump(2, ' ', false, json::error_handler_t::replace);
}

std::string sample_evidence(const BugEntry& bug) {
  constexpr std::size_t kMax = std::size_t{256} * 1024;
  std::ifstream in(std::filesystem::path(bug.sample.directory) / "report.txt", std::ios::binary);
  std::string text(kMax, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(std::max<std::streamsize>(in.gcount(), 0)));
  return text;
}

}  // namespace mmquake
