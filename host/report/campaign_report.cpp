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

json tally_json(const Tally& tally) {
  json out = {{"trials", tally.trials},
              {"passed", tally.passed},
              {"found", tally.found},
              {"broken", tally.broken},
              {"skipped", tally.skipped},
              {"rounds", tally.rounds},
              {"migrations", tally.migrations},
              {"overlaps", tally.overlaps},
              {"passed_seconds", tally.passed_seconds}};
  if (tally.found == 0 && tally.passed_seconds > 0) {
    out["findings_per_hour_below"] = rate_below(0, tally.passed_seconds) * 3600;
    out["confidence"] = kConfidence;
  }
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

std::string painted(const std::string& text, const char* code, bool colour) {
  return colour ? fmt::format("\x1b[{}m{}\x1b[0m", code, text) : text;
}

std::string kernel_rows(const CampaignReport& report) {
  std::string out = fmt::format("{:<22} {:>7} {:>7} {:>6} {:>7} {:>8} {:>10} {:>10}  {}\n",
                                "kernel", "trials", "passed", "found", "broken", "skipped",
                                "migrations", "overlaps", "what the passes say");
  for (const auto& [name, tally] : report.kernels) {
    out += fmt::format("{:<22} {:>7} {:>7} {:>6} {:>7} {:>8} {:>10} {:>10}  {}\n", name,
                       thousands(tally.trials), thousands(tally.passed), thousands(tally.found),
                       thousands(tally.broken), thousands(tally.skipped),
                       thousands(tally.migrations), thousands(tally.overlaps),
                       tally.found == 0 ? bound_text(tally.passed_seconds) : "");
  }
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
  report.trials = std::move(trials);
  return report;
}

std::string campaign_text(const CampaignReport& report, const std::string& program, bool colour) {
  const StoredCampaign& campaign = report.campaign;
  std::string out = fmt::format(
      "campaign {} ({}), {} UTC, {}\n\n", campaign.id, campaign.name, utc_time(campaign.started_at),
      campaign.ended_at > 0 ? "ended"
                            : fmt::format("not ended: {} soak --resume {}", program, campaign.id));
  out += kernel_rows(report);
  if (report.bugs.empty()) {
    out += painted("\nno finding\n", "32", colour);
  } else {
    out += painted(fmt::format("\n{} distinct bug{}\n", report.bugs.size(),
                               report.bugs.size() == 1 ? "" : "s"),
                   "1;31", colour);
  }
  for (const BugEntry& bug : report.bugs) {
    out += fmt::format("  {} {} {}\n           {} trial{} on {}{}\n", bug.id,
                       bug.fresh ? "new" : "   ", escape_for_terminal(bug.title),
                       thousands(bug.trials.size()), bug.trials.size() == 1 ? "" : "s",
                       fmt::join(bug.kernels, ", "), how_soon(bug));
  }
  if (!report.bugs.empty()) out += fmt::format("  {} show ID tells more of one\n", program);
  if (!report.broken.empty()) out += painted("\nbroken trials\n", "1;35", colour);
  for (const BrokenEntry& entry : report.broken) {
    out += fmt::format("  {:>6} x {} (first: trial {})\n", thousands(entry.count),
                       escape_for_terminal(entry.reason), entry.first_trial);
  }
  return out;
}

std::string campaign_json(const CampaignReport& report) {
  json kernels = json::object();
  for (const auto& [name, tally] : report.kernels) kernels[name] = tally_json(tally);
  json cells = json::array();
  for (const auto& [key, tally] : report.cells) {
    json cell = tally_json(tally);
    cell["kernel"] = key.first;
    cell["item"] = key.second;
    cells.push_back(std::move(cell));
  }
  json bugs = json::array();
  for (const BugEntry& bug : report.bugs) bugs.push_back(bug_json(bug));
  json broken_list = json::array();
  for (const BrokenEntry& entry : report.broken) {
    broken_list.push_back(
        {{"reason", entry.reason}, {"count", entry.count}, {"first_trial", entry.first_trial}});
  }
  const json all = {{"campaign", report.campaign.id},
                    {"name", report.campaign.name},
                    {"seed", report.campaign.seed},
                    {"started", utc_time(report.campaign.started_at)},
                    {"ended", report.campaign.ended_at > 0},
                    {"open_trials", report.open_trials},
                    {"total", tally_json(report.total)},
                    {"kernels", kernels},
                    {"cells", cells},
                    {"bugs", bugs},
                    {"broken", broken_list}};
  // A title is a guest's text: bytes that are no UTF-8 must not end the report.
  return all.dump(2, ' ', false, json::error_handler_t::replace);
}

std::string bug_text(const BugEntry& bug, const std::string& program) {
  std::string out = fmt::format("{}\n\n", escape_for_terminal(bug.title));
  out +=
      fmt::format("bug         {} ({}, said by the {}{})\n", bug.id, escape_for_terminal(bug.kind),
                  bug.source == "oracle" ? "workload's oracle" : "kernel's console",
                  bug.fresh ? ", new in this campaign" : "");
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
  constexpr std::size_t kMax = 256 * 1024;
  std::ifstream in(std::filesystem::path(bug.sample.directory) / "report.txt", std::ios::binary);
  std::string text(kMax, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(std::max<std::streamsize>(in.gcount(), 0)));
  return text;
}

}  // namespace mmquake
