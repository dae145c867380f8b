// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/campaign/verdict.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <string_view>

#include "host/console/signature.h"

namespace mmquake {
namespace {

Verdict broken_because(std::string reason, std::vector<Finding> seen = {}) {
  return {Outcome::kBroken, std::move(reason), std::move(seen)};
}

// Kinds that an oracle may claim. Anything else is a guest that talks nonsense.
constexpr std::array<std::string_view, 6> kOracleKinds = {"hang", "corruption", "misplacement",
                                                          "leak", "kernel-bug", "failure"};

// A panic that our own NMI caused is evidence for a hang, not a bug of its own.
bool is_diagnosis(const KernelReport& report) {
  return report.kind == "nmi";
}

double seconds_into_workload(const KernelReport& report, const Observation& seen) {
  if (!report.uptime_s || !seen.workload_uptime_s) return 0;
  return std::max(0.0, *report.uptime_s - *seen.workload_uptime_s);
}

// What shows where a finding happened: a report's log, a hang's stack. An oracle's other findings
// are about memory, and their titles say all.
std::string where(const Finding& finding) {
  const bool console = finding.source == "console";
  if (!console && finding.kind != "hang") return "";
  const auto text = finding.evidence.find(console ? "log" : "stack");
  return text == finding.evidence.end() ? "" : text->second;
}

std::string raw(const std::string& text) {
  return text;
}

// Oracle findings first (they know more), then the console.
std::vector<Finding> collect(const Observation& seen) {
  std::vector<Finding> out;
  std::set<std::string> told;
  for (const FindingRecord& record : seen.findings) {
    out.push_back(
        {record.kind, record.title, "oracle", record.time_s, record.round, record.evidence});
    told.insert(record.title);
  }
  for (const KernelReport& report : seen.reports) {
    if (is_diagnosis(report) || told.contains(report.title)) continue;
    out.push_back({report.kind,
                   report.title,
                   "console",
                   seconds_into_workload(report, seen),
                   0,
                   {{"log", report.log}}});
  }
  sign(out, raw);
  if (out.size() > kMaxFindings) out.resize(kMaxFindings);
  return out;
}

std::string with_tail(std::string text, const Observation& seen) {
  if (!seen.console_tail.empty()) text += "; the console ended with:\n" + seen.console_tail;
  return text;
}

std::optional<Verdict> judge_host(const Observation& seen, const std::vector<Finding>& findings) {
  switch (seen.end) {
    case TrialEnd::kInterrupted:
      return broken_because("interrupted", findings);
    case TrialEnd::kHostFailure:
      return broken_because("host failure: " + seen.host_failure, findings);
    case TrialEnd::kConsoleFlood:
      if (findings.empty()) return broken_because("the guest flooded its console");
      return std::nullopt;
    default:
      return std::nullopt;
  }
}

std::optional<Verdict> judge_boot(const Observation& seen, const std::vector<Finding>& findings) {
  if (!seen.hello) {
    if (!findings.empty()) return broken_because("boot failure: " + findings[0].title, findings);
    return broken_because(with_tail("boot failure: PID 1 was never heard of", seen));
  }
  if (seen.hello->protocol != kProtocolVersion) {
    return broken_because(fmt::format("the guest speaks protocol {}, this host {}: rebuild both",
                                      seen.hello->protocol, kProtocolVersion));
  }
  for (const KernelReport& report : seen.reports) {
    if (report.kind == "oom") {
      return broken_because("the guest ran out of memory: give the machine more", findings);
    }
    if (report.log.find("Attempted to kill init") != std::string::npos) {
      return broken_because("PID 1 of the guest died: " + report.title, findings);
    }
    if (report.offset < seen.workload_console_offset && !is_diagnosis(report)) {
      return broken_because("the kernel reported before the workload began: " + report.title,
                            findings);
    }
  }
  return std::nullopt;
}

std::string too_busy(const std::string& starved, std::string_view before) {
  return fmt::format(
      "the host was too busy to blame the kernel: {} before '{}'; give this host less to do, or "
      "run fewer VMs at a time",
      starved, before);
}

// The first of what accuses the kernel by its clock alone, while the host let a vCPU wait. Nothing
// when there is other evidence, or when time is to be believed once.
std::optional<Verdict> judge_starved(const Observation& seen,
                                     const std::vector<Finding>& findings) {
  std::string reason;
  // True: evidence that stands.
  const auto stands = [&reason](const std::vector<StallWindow>& windows, std::size_t i,
                                const std::string& title) {
    const auto starved = i < windows.size() ? starvation(windows[i]) : std::nullopt;
    if (starved && reason.empty()) reason = too_busy(*starved, title);
    return !starved;
  };
  for (std::size_t i = 0; i < seen.findings.size(); ++i) {
    if (stands(seen.finding_windows, i, seen.findings[i].title)) return std::nullopt;
  }
  for (std::size_t i = 0; i < seen.reports.size(); ++i) {
    if (is_diagnosis(seen.reports[i])) continue;
    if (stands(seen.report_windows, i, seen.reports[i].title)) return std::nullopt;
  }
  if (reason.empty()) return std::nullopt;
  return broken_because(std::move(reason), findings);
}

// RCU says that a CPU is idle (its stall is a "false positive?") and yet its timer has not fired,
// so whoever sleeps there sleeps on, and looks hung. A kernel that programs no timer is no bug of
// the memory manager's; under TCG it was the emulator that had lost one (docs/soak.md). What else
// was found stands.
std::optional<Verdict> judge_lost_timer(const Observation& seen,
                                        const std::vector<Finding>& findings) {
  const auto by_time = [](const auto& found) { return stall_seconds(found, {}).has_value(); };
  if (!std::all_of(seen.findings.begin(), seen.findings.end(), by_time)) return std::nullopt;
  bool lost = false;
  for (const KernelReport& report : seen.reports) {
    if (is_diagnosis(report)) continue;
    if (!by_time(report)) return std::nullopt;
    lost = lost || (report.kind == "rcu-stall" &&
                    report.log.find("(false positive?)") != std::string::npos &&
                    report.log.find("Possible timer handling issue") != std::string::npos);
  }
  if (!lost) return std::nullopt;
  return broken_because("a vCPU idles and its timer does not fire: the emulator has lost it",
                        findings);
}

Verdict judge_silence(const Observation& seen) {
  for (const KernelReport& report : seen.reports) {
    if (!is_diagnosis(report) || busy_cpu(report.log).empty()) continue;
    Finding hang{"hang",    "guest stopped answering: " + report.title,
                 "console", seconds_into_workload(report, seen),
                 0,         {{"log", report.log}}};
    std::vector<Finding> findings = {std::move(hang)};
    sign(findings, raw);
    if (const auto starved = starvation(seen.silence)) {
      std::string reason = too_busy(*starved, findings.front().title);
      return broken_because(std::move(reason), std::move(findings));
    }
    return {Outcome::kFound, "", std::move(findings)};
  }
  return broken_because(with_tail(
      "the guest went silent, and no CPU was caught outside of idle: the harness hangs", seen));
}

std::optional<Verdict> judge_summary(const Observation& seen) {
  if (!seen.summary) {
    const std::string_view how = seen.end == TrialEnd::kCrashed   ? "panicked without a report"
                                 : seen.end == TrialEnd::kOverran ? "overran its time"
                                                                  : "ended without a summary";
    return broken_because(with_tail(fmt::format("the guest {}", how), seen));
  }
  const Summary& summary = *seen.summary;
  if (summary.outcome == Outcome::kBroken || summary.outcome == Outcome::kSkipped) {
    return Verdict{summary.outcome, summary.reason, {}};
  }
  if (summary.outcome == Outcome::kFound) {
    return broken_because("the guest says found, but its finding record never arrived");
  }
  if (seen.end == TrialEnd::kNoPowerOff) {
    return broken_because(with_tail("the guest did not power off after its summary", seen));
  }
  if (seen.end == TrialEnd::kCrashed) {
    return broken_because(with_tail("the guest crashed after its summary", seen));
  }
  if (summary.rounds == 0) return broken_because("not one round was run");
  for (const std::string& bug : seen.bugs_asked) {
    if (!summary.counters.contains(std::string(kBugHits) + bug)) {
      return broken_because(fmt::format("the bug switch '{}' is not on in the guest", bug));
    }
  }
  if (seen.widening_asked) {
    for (const WidenerCount& site : summary.widener) {
      if (site.effective > 0) return std::nullopt;
    }
    return broken_because("widening was asked for, and no delay took effect");
  }
  return std::nullopt;
}

}  // namespace

void sign(std::vector<Finding>& findings,
          const std::function<std::string(const std::string&)>& readable) {
  std::set<std::string> known;
  std::erase_if(findings, [&](Finding& finding) {
    finding.signature = signature_of(finding.kind, finding.title, readable(where(finding)));
    return !known.insert(finding.signature).second;
  });
}

Verdict judge(const Observation& seen) {
  std::vector<Finding> findings = collect(seen);
  if (auto verdict = judge_host(seen, findings)) return *verdict;
  if (auto verdict = judge_boot(seen, findings)) return *verdict;
  for (const Finding& finding : findings) {
    if (finding.source == "oracle" &&
        std::find(kOracleKinds.begin(), kOracleKinds.end(), finding.kind) == kOracleKinds.end()) {
      return broken_because("the guest sent a finding of an unknown kind", findings);
    }
  }
  if (auto verdict = judge_starved(seen, findings)) return *verdict;
  if (auto verdict = judge_lost_timer(seen, findings)) return *verdict;
  if (!findings.empty()) return {Outcome::kFound, "", std::move(findings)};
  if (seen.end == TrialEnd::kSilent) return judge_silence(seen);
  if (auto verdict = judge_summary(seen)) return *verdict;
  return {Outcome::kPassed, "", {}};
}

}  // namespace mmquake
