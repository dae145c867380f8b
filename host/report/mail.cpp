// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/report/mail.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string_view>

#include "host/campaign/rates.h"
#include "host/console/console.h"
#include "host/report/report.h"

namespace mmquake {
namespace {

constexpr std::size_t kWidth = 75;
constexpr std::size_t kLabel = 13;

// Words in lines of kWidth, all but the first indented. A word that is longer stays whole.
std::string wrapped(std::string_view text, std::size_t indent) {
  std::string out;
  std::size_t column = indent;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, end);
    if (column > indent && column + 1 + word.size() > kWidth) {
      out += "\n" + std::string(indent, ' ');
      column = indent;
    } else if (column > indent) {
      out += ' ';
      ++column;
    }
    out += word;
    column += word.size();
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out + "\n";
}

std::string row(const std::string& label, const std::string& text) {
  return fmt::format("{:<{}}{}", label, kLabel, wrapped(escape_for_terminal(text), kLabel));
}

// "18.2 % (95 %: 5.2 to 40.3 %), in 4 of 22 trials"
std::string rate_text(const BugRate& rate) {
  const Interval interval = probability_interval(rate.found, rate.trials);
  const double share =
      rate.trials == 0 ? 0
                       : 100.0 * static_cast<double>(rate.found) / static_cast<double>(rate.trials);
  return fmt::format("{:.1f} % of the trials ({} of {}; {:.1f} to {:.1f} % at 95 % confidence)",
                     share, thousands(rate.found), thousands(rate.trials), 100 * interval.low,
                     100 * interval.high);
}

// What the trial says of the machine and the kernel, and the findings: from its report.txt.
std::string facts_of(const std::string& evidence, std::string_view name) {
  const std::size_t at = evidence.find("\n" + std::string(name) + " ");
  if (at == std::string::npos) return "";
  const std::size_t begin = evidence.find_first_not_of(' ', at + 1 + name.size());
  return evidence.substr(begin, evidence.find('\n', begin) - begin);
}

std::string finding_of(const std::string& evidence) {
  const std::size_t at = evidence.find("\nfinding: ");
  if (at == std::string::npos) return "";
  const std::size_t end =
      std::min(evidence.find("\nwidener\n", at), evidence.find("\ncounters\n", at));
  return evidence.substr(at + 1, end == std::string::npos ? end : end - at - 1);
}

}  // namespace

BugRate rate_of(const BugEntry& bug, const std::vector<StoredTrial>& trials) {
  BugRate out;
  for (const StoredTrial& trial : trials) {
    if (!bug.kernels.contains(trial.kernel) || !bug.items.contains(trial.item)) continue;
    if (trial.verdict != Outcome::kPassed && trial.verdict != Outcome::kFound) continue;
    ++out.trials;
    out.found += std::any_of(trial.findings.begin(), trial.findings.end(),
                             [&](const StoredFinding& finding) {
                               return finding.signature == bug.signature;
                             })
                     ? 1
                     : 0;
  }
  return out;
}

std::string mail_text(const BugEntry& bug, const std::vector<StoredTrial>& trials,
                      const std::string& evidence) {
  const StoredTrial& sample = bug.sample;
  const std::string release = sample.kernel_release.empty() ? sample.kernel : sample.kernel_release;
  std::string out = fmt::format("Subject: [BUG] mm: {} on {}\n\n", one_line(bug.title, 120),
                                one_line(release, 60));
  out += wrapped(
      fmt::format(
          "mmquake, a stress test suite of the memory manager in NUMA VMs, finds this on {}:",
          escape_for_terminal(release)),
      0);
  out += fmt::format("\n    {}\n\n", one_line(bug.title, 200));
  out += row("kernels", fmt::format("{}", fmt::join(bug.kernels, ", ")));
  for (const char* name : {"kernel", "switches on", "machine"}) {
    const std::string fact = facts_of(evidence, name);
    if (!fact.empty()) out += row(name == std::string("kernel") ? "of these" : name, fact);
  }
  out += row("workload", fmt::format("{}", fmt::join(bug.items, "; ")));
  out += row("rate", rate_text(rate_of(bug, trials)));
  if (!bug.seconds.empty()) {
    out += row("after", fmt::format("{:.1f} s of guest time (median), {:.1f} s (90th percentile)",
                                    percentile(bug.seconds, 0.5), percentile(bug.seconds, 0.9)));
  }
  out +=
      row("seen", fmt::format("{} to {} UTC", utc_time(bug.first_seen), utc_time(bug.last_seen)));
  out += row("bisected", "no");
  out += "\nTo see it again:\n\n    " + escape_for_terminal(sample.repeat) + "\n";
  const std::string finding = finding_of(evidence);
  if (finding.empty()) return out + "\nThe files of the trial are gone.\n";
  return out + fmt::format("\nWhat trial {} saw:\n\n{}", trial_name(sample),
                           escape_for_terminal(finding));
}

}  // namespace mmquake
