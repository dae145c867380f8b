// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/report/report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <system_error>

#include "host/campaign/rates.h"
#include "host/console/console.h"
#include "host/console/symbolizer.h"

namespace mmquake {
namespace {

using nlohmann::json;

std::string painted(std::string_view text, const char* code, bool colour) {
  return colour ? fmt::format("\x1b[{}m{}\x1b[0m", code, text) : std::string(text);
}

// What a pass can show for its work: the headline counters of the workload, the delays that took
// effect, and what follows from it all.
std::string work_done(const Summary& summary) {
  const Counters& counters = summary.counters;
  std::string out;
  for (const auto& [name, value] : counters) {
    if (name.find('/') != std::string::npos || value == 0) continue;
    if (name != "thp_migrations" && name != "migrations" && name != "overlaps") continue;
    std::string label = name == "thp_migrations" ? "THP migrations" : name;
    out += fmt::format(", {} {}", thousands(value), label);
  }
  std::uint64_t delays = 0;
  for (const WidenerCount& site : summary.widener) delays += site.effective;
  if (delays > 0) out += fmt::format(", {} delays", thousands(delays));
  const std::string bound = bound_text(summary.time_s);
  return bound.empty() ? out : out + ", " + bound;
}

json finding_json(const Finding& finding) {
  return {{"kind", finding.kind},          {"title", finding.title}, {"source", finding.source},
          {"seconds", finding.seconds},    {"round", finding.round}, {"evidence", finding.evidence},
          {"signature", finding.signature}};
}

json guest_plan_json(const TrialPlan& plan) {
  GuestPlan guest = plan.guest;
  return json::parse(to_json(guest));
}

std::string indent(const std::string& text, const std::string& by) {
  std::string out = by;
  for (char c : text) {
    out += c;
    if (c == '\n') out += by;
  }
  while (!out.empty() && (out.back() == ' ' || out.back() == '\n')) out.pop_back();
  return out + "\n";
}

std::string evidence_text(const Finding& finding, const Symbolizer* symbolizer) {
  std::string out;
  for (const auto& [name, text] : finding.evidence) {
    std::string shown = text.substr(0, 16384);
    if (symbolizer != nullptr) shown = symbolizer->symbolize(shown);
    out += fmt::format("  {}:\n{}", one_line(name), indent(escape_for_terminal(shown), "    "));
  }
  return out;
}

std::string numbers(const ReportedTrial& trial) {
  const TrialResult& r = trial.result;
  std::string out;
  out += fmt::format("kernel        {} ({}, artifact {})\n", one_line(r.hello.kernel),
                     trial.plan.kernel.name, trial.plan.kernel.key);
  if (!trial.plan.bugs.empty()) {
    out += fmt::format("switches on   {}\n", fmt::join(trial.plan.bugs, ", "));
  }
  out += fmt::format("machine       {} ({} CPUs, {} nodes, {} MiB), {}\n", trial.plan.machine.name,
                     trial.plan.machine.cpus(), trial.plan.machine.nodes.size(),
                     trial.plan.machine.memory_mib(),
                     trial.plan.accelerator == Accelerator::kKvm ? "KVM" : "TCG");
  out += fmt::format("slowdown      {:.1f} (guest time of a fixed loop over the host's)\n",
                     r.slowdown);
  out += fmt::format("seed          {}\n", trial.plan.guest.seed);
  out += fmt::format("time          boot {:.1f} s, workload {:.1f} s, in all {:.1f} s\n",
                     r.boot_seconds, r.summary.time_s, r.wall_seconds);
  if (!r.before.empty()) {
    out += fmt::format(
        "VM            booted for {}, {} trials before this one, which may have had a "
        "part in it\n",
        r.before.front(), r.before.size());
  }
  out += fmt::format("rounds        {}\n", thousands(r.summary.rounds));
  if (r.channel.bad_frames > 0 || r.channel.garbage_bytes > 0) {
    out += fmt::format("channel       {} bad frames, {} bytes of garbage\n", r.channel.bad_frames,
                       r.channel.garbage_bytes);
  }
  return out;
}

// first segment -> rows of (second segment) -> columns of (the rest)
using Tables = std::map<std::string, std::map<std::string, Counters>>;

Tables split_counters(const Counters& counters) {
  Tables tables;
  for (const auto& [name, value] : counters) {
    const std::size_t first = name.find('/');
    if (first == std::string::npos) continue;
    const std::size_t second = name.find('/', first + 1);
    const std::string row = name.substr(first + 1, second - first - 1);
    const std::string column = second == std::string::npos ? "count" : name.substr(second + 1);
    tables[name.substr(0, first)][row][column] = value;
  }
  return tables;
}

}  // namespace

std::string one_line(std::string_view text, std::size_t limit) {
  std::string out = escape_for_terminal(text.substr(0, limit));
  std::replace(out.begin(), out.end(), '\n', ' ');
  std::replace(out.begin(), out.end(), '\t', ' ');
  if (text.size() > limit) out += "...";
  return out;
}

std::string outcome_word(Outcome outcome, bool colour) {
  switch (outcome) {
    case Outcome::kFound:
      return painted("FOUND  ", "1;31", colour);
    case Outcome::kPassed:
      return painted("passed ", "32", colour);
    case Outcome::kBroken:
      return painted("BROKEN ", "1;35", colour);
    case Outcome::kSkipped:
      return painted("skipped", "33", colour);
  }
  return "?";
}

std::string thousands(std::uint64_t n) {
  std::string digits = std::to_string(n);
  for (std::size_t at = digits.size(); at > 3;) {
    at -= 3;
    digits.insert(at, ",");
  }
  return digits;
}

double seconds_until_verdict(const TrialResult& result) {
  const std::vector<Finding>& findings = result.verdict.findings;
  return findings.empty() || findings[0].seconds <= 0 ? result.summary.time_s : findings[0].seconds;
}

std::string verdict_line(const ReportedTrial& trial, bool colour) {
  const TrialResult& r = trial.result;
  std::string out = fmt::format("{:<9} {:<13} {} ", trial.kernel, trial.side,
                                outcome_word(r.verdict.outcome, colour));
  const std::string which = trial.of > 0 ? fmt::format("trial {}/{}", trial.number, trial.of)
                                         : fmt::format("trial {}", trial.number);
  switch (r.verdict.outcome) {
    case Outcome::kFound: {
      const Finding& first = r.verdict.findings.front();
      out += fmt::format("{:<24} after {:.1f} s, round {}, {}", one_line(first.title),
                         seconds_until_verdict(r),
                         thousands(first.round > 0 ? first.round : r.summary.rounds), which);
      if (r.verdict.findings.size() > 1) {
        out += fmt::format(" (and {} more)", r.verdict.findings.size() - 1);
      }
      break;
    }
    case Outcome::kPassed:
      out += fmt::format("{:.0f} s, {} rounds{}, {}", r.summary.time_s, thousands(r.summary.rounds),
                         work_done(r.summary), which);
      break;
    default:
      out += fmt::format("{}, {}", one_line(r.verdict.reason), which);
  }
  return out;
}

json verdict_json(const ReportedTrial& trial) {
  const TrialResult& r = trial.result;
  json findings = json::array();
  for (const Finding& finding : r.verdict.findings) findings.push_back(finding_json(finding));
  json widener = json::array();
  for (const WidenerCount& site : r.summary.widener) {
    widener.push_back({{"site", site.site},
                       {"hits", site.hits},
                       {"effective", site.effective},
                       {"slept", site.slept}});
  }
  return {{"verdict", std::string(to_string(r.verdict.outcome))},
          {"reason", r.verdict.reason},
          {"findings", findings},
          {"workload", trial.plan.guest.workload},
          {"kernel",
           {{"name", trial.plan.kernel.name},
            {"key", trial.plan.kernel.key},
            {"release", r.hello.kernel},
            {"bugs", trial.plan.bugs}}},
          {"machine", trial.plan.machine.name},
          {"accelerator", trial.plan.accelerator == Accelerator::kKvm ? "kvm" : "tcg"},
          {"slowdown", r.slowdown},
          {"seed", trial.plan.guest.seed},
          {"seconds", r.summary.time_s},
          {"boot_seconds", r.boot_seconds},
          {"wall_seconds", r.wall_seconds},
          {"trials_before_in_vm", r.before},
          {"rounds", r.summary.rounds},
          {"findings_per_hour_below", r.verdict.outcome == Outcome::kPassed && r.summary.time_s > 0
                                          ? json(rate_below(0, r.summary.time_s / 3600))
                                          : json()},
          {"counters", r.summary.counters},
          {"widener", widener},
          {"channel",
           {{"records", r.channel.records},
            {"bad_frames", r.channel.bad_frames},
            {"garbage_bytes", r.channel.garbage_bytes}}},
          {"console_bytes", r.console_bytes},
          {"machine_evidence", r.machine_evidence},
          {"trial", trial.number},
          {"trials", trial.of},
          {"directory", r.directory.string()},
          {"repeat", trial.plan.repeat_command}};
}

std::string counter_tables(const Counters& counters, double seconds) {
  std::string out;
  for (const auto& [name, rows] : split_counters(counters)) {
    std::set<std::string> columns;
    for (const auto& [row, cells] : rows) {
      for (const auto& [column, value] : cells) columns.insert(column);
    }
    out += fmt::format("{:<22}", one_line(name) + " per second");
    for (const std::string& column : columns) out += fmt::format(" {:>16}", one_line(column, 16));
    out += "\n";
    for (const auto& [row, cells] : rows) {
      out += fmt::format("  {:<20}", one_line(row, 20));
      for (const std::string& column : columns) {
        const auto cell = cells.find(column);
        out += cell == cells.end() || seconds <= 0
                   ? fmt::format(" {:>16}", "-")
                   : fmt::format(" {:>16.1f}", static_cast<double>(cell->second) / seconds);
      }
      out += "\n";
    }
  }
  return out;
}

std::string trial_report(const ReportedTrial& trial) {
  const TrialResult& r = trial.result;
  auto opened = Symbolizer::open(trial.plan.kernel.vmlinux);
  const Symbolizer* symbolizer = opened ? &*opened : nullptr;
  std::string out = fmt::format("mmquake trial of {}\n\n{}\n\n{}", trial.plan.guest.workload,
                                verdict_line(trial, false), numbers(trial));
  if (!r.verdict.reason.empty()) {
    out += "\nreason\n" + indent(escape_for_terminal(r.verdict.reason), "  ");
  }
  for (const Finding& finding : r.verdict.findings) {
    out += fmt::format("\nfinding: {} ({}, {})\n{}", one_line(finding.title),
                       one_line(finding.kind), finding.source, evidence_text(finding, symbolizer));
  }
  if (!r.machine_evidence.empty()) {
    out += "\nmachine, when it was found\n";
    for (const std::string& line : r.machine_evidence) out += "  " + line + "\n";
  }
  if (!r.summary.widener.empty()) {
    out += "\nwidener\n";
    for (const WidenerCount& site : r.summary.widener) {
      out += fmt::format("  {:<40} {} hits, {} delays took effect, {} of them slept\n",
                         one_line(site.site), thousands(site.hits), thousands(site.effective),
                         thousands(site.slept));
    }
  }
  if (!r.summary.counters.empty()) {
    out += "\ncounters\n";
    for (const auto& [name, value] : r.summary.counters) {
      out += fmt::format("  {:<48} {:>14}\n", one_line(name), thousands(value));
    }
  }
  const std::string tables = counter_tables(r.summary.counters, r.summary.time_s);
  if (!tables.empty()) out += "\n" + tables;
  out += "\nagain: " + trial.plan.repeat_command + "\n";
  out += "files: console.log records.jsonl domain.xml plan.json verdict.json command\n";
  return out;
}

Result<> write_file(const std::filesystem::path& path, const std::string& text) {
  const std::filesystem::path temporary = path.string() + ".new";
  std::ofstream file(temporary, std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  std::error_code error;
  if (!file) {
    std::filesystem::remove(temporary, error);
    return broken("cannot write '" + path.string() + "': is the disk full?");
  }
  std::filesystem::rename(temporary, path, error);
  if (error) return broken("cannot write '" + path.string() + "': " + error.message());
  return {};
}

Result<> write_trial(const ReportedTrial& trial) {
  const std::filesystem::path& dir = trial.result.directory;
  const json plan = {
      {"guest", guest_plan_json(trial.plan)},     {"kernel", trial.plan.kernel.name},
      {"kernel_key", trial.plan.kernel.key},      {"bugs", trial.plan.bugs},
      {"boot_args", trial.plan.kernel_boot_args}, {"machine", trial.plan.machine.name}};
  const auto dump = [](const json& j) {
    return j.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
  };
  if (auto done = write_file(dir / "plan.json", dump(plan)); !done) return done;
  if (auto done = write_file(dir / "verdict.json", dump(verdict_json(trial))); !done) return done;
  if (auto done = write_file(dir / "report.txt", trial_report(trial)); !done) return done;
  return write_file(dir / "command", trial.plan.repeat_command + "\n");
}

}  // namespace mmquake
