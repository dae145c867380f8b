// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/bisect/vm_trial.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "host/plan/widen_text.h"

namespace mmquake::bisect {
namespace {

using nlohmann::json;

// False: there is no such value, or it is of another type.
template <typename T>
bool take(const json& from, const char* name, T& out) {
  const auto found = from.find(name);
  if (found == from.end()) return false;
  if constexpr (std::is_same_v<T, std::string>) {
    if (!found->is_string()) return false;
  } else if constexpr (std::is_same_v<T, double>) {
    if (!found->is_number()) return false;
  } else {
    const bool is_right =
        std::is_same_v<T, std::vector<std::string>> ? found->is_array() : found->is_object();
    if (!is_right) return false;
    const auto is_text = [](const json& one) { return one.is_string(); };
    if (!std::all_of(found->begin(), found->end(), is_text)) return false;
  }
  out = found->template get<T>();
  return true;
}

bool holds(const std::vector<std::string>& list, const std::string& what) {
  return std::find(list.begin(), list.end(), what) != list.end();
}

// What a finding is called in the bisection.
std::string signature_in(const VmTrial& trial, const Finding& finding) {
  const bool is_expected =
      holds(trial.expect_kinds, finding.kind) && holds(trial.expect_titles, finding.title);
  return is_expected ? case_signature(trial) : finding.signature;
}

// The name that counts if one of the findings has it, else that of the first.
std::string signature_of_findings(const VmTrial& trial, const std::vector<Finding>& findings,
                                  const std::string& wanted) {
  for (const Finding& finding : findings) {
    // Also by the finding's own name, if that is what counts.
    if (finding.signature == wanted || signature_in(trial, finding) == wanted) return wanted;
  }
  return signature_in(trial, findings.front());
}

}  // namespace

json to_json(const VmTrial& trial) {
  std::vector<std::string> widen;
  for (const WidenSite& site : trial.widen) widen.push_back(widen_text(site));
  return {{"case", trial.case_name},
          {"expect_kinds", trial.expect_kinds},
          {"expect_titles", trial.expect_titles},
          {"workload", trial.workload},
          {"params", trial.params},
          {"machine", trial.machine},
          {"seconds", trial.seconds},
          {"widen", widen},
          {"bugs", trial.bugs},
          {"accelerator", trial.accelerator},
          {"connect", trial.connect}};
}

std::optional<VmTrial> vm_trial_of(const json& from) {
  VmTrial out;
  std::vector<std::string> widen;
  const bool is_whole = from.is_object() && take(from, "case", out.case_name) &&
                        take(from, "expect_kinds", out.expect_kinds) &&
                        take(from, "expect_titles", out.expect_titles) &&
                        take(from, "workload", out.workload) && take(from, "params", out.params) &&
                        take(from, "machine", out.machine) && take(from, "seconds", out.seconds) &&
                        take(from, "widen", widen) && take(from, "bugs", out.bugs) &&
                        take(from, "accelerator", out.accelerator) &&
                        take(from, "connect", out.connect);
  if (!is_whole) return std::nullopt;
  for (const std::string& text : widen) {
    auto site = parse_widen(text);
    if (!site) return std::nullopt;
    out.widen.push_back(std::move(*site));
  }
  return out;
}

std::string case_signature(const VmTrial& trial) {
  return trial.case_name.empty() ? "" : "case " + trial.case_name;
}

TrialOutcome outcome_of(const VmTrial& trial, const TrialResult& result,
                        const std::string& wanted) {
  const Verdict& verdict = result.verdict;
  TrialOutcome out;
  out.reason = verdict.reason;
  switch (verdict.outcome) {
    case Outcome::kPassed:
      out.end = TrialEnd::kPassed;
      break;
    case Outcome::kSkipped:
      out.end = TrialEnd::kSkipped;
      break;
    case Outcome::kFound:
      out.end = TrialEnd::kFound;
      out.signature = signature_of_findings(trial, verdict.findings, wanted);
      break;
    case Outcome::kBroken: {
      const bool died_booting =
          result.end == mmquake::TrialEnd::kNoBoot && !verdict.findings.empty();
      out.end = died_booting ? TrialEnd::kSkipped : TrialEnd::kBroken;
      break;
    }
  }
  return out;
}

}  // namespace mmquake::bisect
