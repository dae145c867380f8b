// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/cli/case_sides.h"

#include <fmt/format.h>

#include <algorithm>

namespace mmquake {

std::vector<Side> sides_of(const CaseSpec& spec, double bug_seconds, double clean_seconds) {
  return {{"bug put back", spec.bug_kernel, spec.bugs,
           bug_seconds > 0 ? bug_seconds : spec.bug_seconds, true},
          {"clean",
           spec.clean_kernel,
           {},
           clean_seconds > 0 ? clean_seconds : spec.clean_seconds,
           false}};
}

std::vector<std::string> series_names(const Catalogue& catalogue) {
  constexpr std::string_view kClean = "clean-";
  std::vector<std::string> out;
  for (const std::string& name : catalogue.kernel_names()) {
    if (name.starts_with(kClean)) out.push_back(name.substr(kClean.size()));
  }
  return out;
}

Result<CaseSpec> in_series(const Catalogue& catalogue, CaseSpec spec, const std::string& series) {
  const std::vector<std::string> names = catalogue.kernel_names();
  for (std::string* kernel : {&spec.bug_kernel, &spec.clean_kernel}) {
    *kernel += "-" + series;
    if (std::find(names.begin(), names.end(), *kernel) == names.end()) {
      return skipped(fmt::format("there is no kernel {}", *kernel));
    }
  }
  const auto bug = catalogue.kernel(spec.bug_kernel);
  if (!bug) return tl::make_unexpected(bug.error());
  for (const std::string& one : spec.bugs) {
    if (std::find(bug->bugs.begin(), bug->bugs.end(), one) == bug->bugs.end()) {
      return skipped(fmt::format("kernel {} has no switch {}", spec.bug_kernel, one));
    }
  }
  return spec;
}

bool is_expected(const CaseSpec& spec, const Side& side, const TrialResult& result) {
  if (!side.must_find) return result.verdict.outcome == Outcome::kPassed;
  if (result.verdict.outcome != Outcome::kFound) return false;
  const auto holds = [](const std::vector<std::string>& list, const std::string& what) {
    return std::find(list.begin(), list.end(), what) != list.end();
  };
  return std::any_of(
      result.verdict.findings.begin(), result.verdict.findings.end(), [&](const Finding& finding) {
        return holds(spec.expect_titles, finding.title) && holds(spec.expect_kinds, finding.kind);
      });
}

std::string side_repeat_command(const CommonOptions& common, const CaseSpec& spec, const Side& side,
                                std::uint64_t seed) {
  std::string out =
      fmt::format("{} repro {} --seed {} --seconds {} --kernel {}", shell_word(common.program),
                  shell_word(spec.name), seed, side.seconds, shell_word(side.kernel));
  for (const std::string& bug : side.bugs) out += " --bugs " + shell_word(bug);
  return out + vm_options_text(common);
}

Result<TrialPlan> plan_side(Session& session, const CaseSpec& spec, const Side& side,
                            const CaseOverrides& overrides) {
  std::map<std::string, std::string> params = spec.params;
  for (const auto& [key, value] : overrides.params) params[key] = value;
  if (auto fits = session.workloads().check_params(spec.workload, params); !fits) {
    return tl::make_unexpected(fits.error());
  }
  auto plan = session.prepare(
      side.kernel, overrides.machine.empty() ? spec.machine : overrides.machine, side.bugs);
  if (!plan) return plan;
  plan->guest.workload = spec.workload;
  plan->guest.params = params;
  plan->guest.seconds = side.seconds;
  plan->guest.widen = spec.widen;
  return plan;
}

ReportedTrial side_trial(const Side& side, const TrialPlan& plan, const TrialPlace& place) {
  ReportedTrial trial;
  trial.plan = plan;
  trial.side = side.label;
  trial.number = place.number;
  trial.of = place.of;
  trial.plan.guest.seed = place.seed;
  trial.plan.name = place.name;
  trial.plan.directory = place.directory / place.name;
  trial.plan.repeat_command = place.repeat_command;
  return trial;
}

Result<ReportedTrial> run_side_trial(Session& session, const Side& side, const TrialPlan& plan,
                                     const TrialPlace& place) {
  return session.run(side_trial(side, plan, place));
}

}  // namespace mmquake
