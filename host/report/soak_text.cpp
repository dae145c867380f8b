// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/report/soak_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "host/campaign/rates.h"
#include "host/plan/duration.h"
#include "host/report/report.h"

namespace mmquake {
namespace {

using nlohmann::json;

constexpr std::size_t kItemWidth = 40;
constexpr std::size_t kMaxReasons = 20;

struct BugRow {
  std::uint64_t count = 0;
  StoredTrial first;
  StoredTrial last;
  StoredFinding finding;
};

struct KernelRow {
  std::string release;
  std::uint64_t trials = 0, passed = 0, found = 0, broken = 0, skipped = 0, rounds = 0;
  double seconds = 0;  // guest time of passed and found trials
};

struct Rows {
  std::vector<std::pair<std::string, BugRow>> bugs;  // by signature, in order of appearance
  std::map<std::string, KernelRow> kernels;
  std::vector<std::pair<std::string, std::vector<std::uint64_t>>> broken;  // reason -> trials
  std::vector<std::pair<std::string, std::string>> skipped;                // item -> reason
  SoakCounts counts;
  std::uint64_t restarted = 0;
};

template <typename Value>
Value& entry(std::vector<std::pair<std::string, Value>>& list, const std::string& key) {
  const auto at =
      std::find_if(list.begin(), list.end(), [&](const auto& one) { return one.first == key; });
  if (at != list.end()) return at->second;
  list.emplace_back(key, Value());
  return list.back().second;
}

void add_findings(Rows& rows, const StoredTrial& trial) {
  for (const StoredFinding& finding : trial.findings) {
    BugRow& row = entry(rows.bugs, finding.signature);
    if (row.count++ == 0) {
      row.first = trial;
      row.finding = finding;
    }
    row.last = trial;
  }
}

void add_trial(Rows& rows, const StoredTrial& trial) {
  KernelRow& kernel = rows.kernels[trial.kernel];
  if (!trial.kernel_release.empty()) kernel.release = trial.kernel_release;
  ++kernel.trials;
  ++rows.counts.trials;
  rows.restarted += trial.attempt > 1 ? 1 : 0;
  kernel.rounds += trial.rounds;
  rows.counts.rounds += trial.rounds;
  rows.counts.migrations += trial.migrations;
  rows.counts.overlaps += trial.overlaps;
  switch (trial.verdict) {
    case Outcome::kPassed:
      ++kernel.passed;
      ++rows.counts.passed;
      kernel.seconds += trial.seconds;
      break;
    case Outcome::kFound:
      ++kernel.found;
      ++rows.counts.found;
      kernel.seconds += trial.seconds;
      add_findings(rows, trial);
      break;
    case Outcome::kBroken:
      ++kernel.broken;
      ++rows.counts.broken;
      entry(rows.broken, trial.reason).push_back(trial.number);
      break;
    case Outcome::kSkipped:
      ++kernel.skipped;
      ++rows.counts.skipped;
      entry(rows.skipped, trial.item) = trial.reason;
      break;
  }
}

Rows rows_of(const std::vector<StoredTrial>& trials) {
  Rows out;
  for (const StoredTrial& trial : trials) {
    if (trial.state == TrialState::kEnded) add_trial(out, trial);
  }
  out.counts.bugs = out.bugs.size();
  return out;
}

std::string rate_text(double rate) {
  return fmt::format("{:.{}f}", rate, rate < 10 ? 1 : 0);
}

std::string kernel_text(const std::string& name, const KernelRow& row) {
  std::string out =
      fmt::format("  {:<16} {:<12} {} passed of {}, {} rounds", one_line(name),
                  one_line(row.release), row.passed, row.trials, thousands(row.rounds));
  const double hours = row.seconds / 3600;
  if (hours <= 0) return out + "\n";
  out += fmt::format(", {} of guest time", duration_text(row.seconds));
  if (row.found == 0) {
    return out + fmt::format(": at {:.0f} % confidence fewer than {} findings per hour\n",
                             100 * kConfidence, rate_text(rate_below(0, hours)));
  }
  const Interval rate = rate_interval(row.found, hours);
  return out + fmt::format(": {} trials found, {} to {} per hour at {:.0f} %\n", row.found,
                           rate_text(rate.low), rate_text(rate.high), 100 * kConfidence);
}

std::string counts_text(const SoakCounts& counts) {
  std::string out = fmt::format("{} trials, {} passed", counts.trials, counts.passed);
  if (counts.found > 0) {
    out += fmt::format(", {} FOUND ({} bug{})", counts.found, counts.bugs,
                       counts.bugs == 1 ? "" : "s");
  }
  if (counts.broken > 0) out += fmt::format(", {} broken", counts.broken);
  if (counts.skipped > 0) out += fmt::format(", {} skipped", counts.skipped);
  return out;
}

std::string work_text(const SoakCounts& counts) {
  return fmt::format("{} rounds, {} migrations, {} overlaps", thousands(counts.rounds),
                     thousands(counts.migrations), thousands(counts.overlaps));
}

std::string findings_text(const Rows& rows) {
  std::string out;
  for (const auto& [signature, row] : rows.bugs) {
    out += fmt::format("  {:>4} x {} ({})\n", row.count, one_line(row.finding.title),
                       one_line(row.finding.kind));
    out += fmt::format("         first in trial {}, {}\n         report: {}\n         again:  {}\n",
                       row.first.number, one_line(row.first.item),
                       (std::filesystem::path(row.first.directory) / "report.txt").string(),
                       row.first.repeat);
  }
  return out;
}

std::string broken_text(const Rows& rows) {
  std::string out;
  std::size_t shown = 0;
  for (const auto& [reason, trials] : rows.broken) {
    if (shown++ == kMaxReasons) {
      out += fmt::format("  and {} other reasons\n", rows.broken.size() - kMaxReasons);
      break;
    }
    out += fmt::format("  {:>4} x {} (first in trial {})\n", trials.size(), one_line(reason, 160),
                       trials.front());
  }
  return out;
}

json bug_json(const BugRow& row) {
  return {{"title", row.finding.title},
          {"kind", row.finding.kind},
          {"signature", row.finding.signature},
          {"count", row.count},
          {"first_trial", row.first.number},
          {"last_trial", row.last.number},
          {"item", row.first.item},
          {"directory", row.first.directory},
          {"repeat", row.first.repeat}};
}

json kernel_json(const std::string& name, const KernelRow& row) {
  const double hours = row.seconds / 3600;
  const Interval rate = rate_interval(row.found, hours);
  json out = {{"name", name},           {"release", row.release}, {"trials", row.trials},
              {"passed", row.passed},   {"found", row.found},     {"broken", row.broken},
              {"skipped", row.skipped}, {"rounds", row.rounds},   {"seconds", row.seconds}};
  if (hours <= 0) return out;
  if (row.found == 0) {
    out["findings_per_hour_below"] = rate_below(0, hours);
  } else {
    out["findings_per_hour_low"] = rate.low;
    out["findings_per_hour_high"] = rate.high;
  }
  return out;
}

}  // namespace

std::string soak_trial_line(const StoredTrial& trial, bool colour) {
  std::string out = fmt::format("{:>5}  {:<{}} {} ", trial.number, one_line(trial.item), kItemWidth,
                                outcome_word(trial.verdict, colour));
  switch (trial.verdict) {
    case Outcome::kPassed:
      out += fmt::format("{:.0f} s, {} rounds", trial.seconds, thousands(trial.rounds));
      if (trial.migrations > 0) out += fmt::format(", {} migrations", thousands(trial.migrations));
      if (trial.overlaps > 0) out += fmt::format(", {} overlaps", thousands(trial.overlaps));
      break;
    case Outcome::kFound:
      out += trial.findings.empty() ? "?" : one_line(trial.findings.front().title);
      if (trial.findings.size() > 1)
        out += fmt::format(" (and {} more)", trial.findings.size() - 1);
      break;
    default:
      out += one_line(trial.reason, 160);
  }
  return out;
}

std::string soak_status_line(const SoakStatus& status) {
  std::string out = counts_text(status.counts);
  if (status.counts.found == 0) out += ", 0 found";
  if (status.left_seconds >= 0) out += fmt::format(", {} left", duration_text(status.left_seconds));
  if (status.left_trials > 0) out += fmt::format(", {} trials left", status.left_trials);
  if (status.per_hour > 0) out += fmt::format(", {:.0f} trials/h", status.per_hour);
  out += ", " + work_text(status.counts);
  for (const std::string& waiting : status.waiting) out += " | " + waiting;
  for (const std::string& running : status.running) out += " | " + running;
  return out;
}

std::string soak_summary(const StoredCampaign& campaign, const std::vector<StoredTrial>& trials) {
  const Rows rows = rows_of(trials);
  std::string out = fmt::format("campaign {} {}: {} in {}, {}\n", campaign.id, campaign.name,
                                counts_text(rows.counts), duration_text(campaign.used_seconds),
                                work_text(rows.counts));
  const std::size_t open = trials.size() - rows.counts.trials;
  if (open > 0) out += fmt::format("{} trials have not ended\n", open);
  if (!rows.bugs.empty()) out += "\nfound\n" + findings_text(rows);
  if (!rows.kernels.empty()) out += "\nkernels\n";
  for (const auto& [name, row] : rows.kernels) out += kernel_text(name, row);
  if (!rows.broken.empty()) out += "\nbroken: the harness or the host failed\n" + broken_text(rows);
  if (!rows.skipped.empty()) out += "\nskipped: the kernel or machine lacks something\n";
  for (const auto& [item, reason] : rows.skipped) {
    out += fmt::format("  {}: {}\n", one_line(item), one_line(reason));
  }
  return out;
}

json soak_json(const StoredCampaign& campaign, const std::vector<StoredTrial>& trials) {
  const Rows rows = rows_of(trials);
  json bugs = json::array();
  for (const auto& [signature, row] : rows.bugs) bugs.push_back(bug_json(row));
  json kernels = json::array();
  for (const auto& [name, row] : rows.kernels) kernels.push_back(kernel_json(name, row));
  json reasons = json::array();
  for (const auto& [reason, numbers] : rows.broken) {
    reasons.push_back({{"reason", reason}, {"trials", numbers}});
  }
  json skips = json::array();
  for (const auto& [item, reason] : rows.skipped) {
    skips.push_back({{"item", item}, {"reason", reason}});
  }
  return {{"campaign", campaign.id},
          {"name", campaign.name},
          {"seed", campaign.seed},
          {"outcome", std::string(to_string(soak_outcome(trials)))},
          {"ended", campaign.ended_at > 0},
          {"directory", campaign.directory},
          {"seconds", campaign.used_seconds},
          {"trials", rows.counts.trials},
          {"passed", rows.counts.passed},
          {"found", rows.counts.found},
          {"broken", rows.counts.broken},
          {"skipped", rows.counts.skipped},
          {"restarted", rows.restarted},
          {"not_ended", trials.size() - rows.counts.trials},
          {"rounds", rows.counts.rounds},
          {"migrations", rows.counts.migrations},
          {"overlaps", rows.counts.overlaps},
          {"findings", bugs},
          {"kernels", kernels},
          {"broken_reasons", reasons},
          {"skipped_items", skips}};
}

Outcome soak_outcome(const std::vector<StoredTrial>& trials) {
  const SoakCounts counts = rows_of(trials).counts;
  if (counts.found > 0) return Outcome::kFound;
  if (counts.broken > 0 || counts.trials == 0) return Outcome::kBroken;
  return counts.passed > 0 ? Outcome::kPassed : Outcome::kSkipped;
}

}  // namespace mmquake
