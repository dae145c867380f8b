// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/cli/shrink_trials.h"

#include <fmt/format.h>

#include <cmath>

#include "host/campaign/rates.h"
#include "host/plan/specs.h"
#include "host/plan/widen_text.h"
#include "host/shrink/c_program.h"

namespace mmquake {
namespace {

constexpr const char* kRunSeconds = "run_seconds";

// One run of the program fills its trial, so that it has as much time as the composition has.
std::string run_seconds(const Subject& subject) {
  return fmt::format("{:.0f}", std::ceil(subject.seconds));
}

}  // namespace

ShrinkTrials::ShrinkTrials(Session& session, RunOptions options, std::filesystem::path root,
                           std::string signature)
    : session_(session),
      options_(std::move(options)),
      root_(std::move(root)),
      signature_(std::move(signature)) {}

Result<Subject> ShrinkTrials::prepare() {
  auto params = parse_params(options_.params);
  if (!params) return tl::make_unexpected(params.error());
  if (auto fits = session_.workloads().check_params(options_.workload, *params); !fits) {
    return tl::make_unexpected(fits.error());
  }
  Subject start;
  start.composition = Composition::from_params(*params);
  if (const auto wrong = objection(start.composition)) return usage(*wrong);
  for (const Slot slot : kAllSlots) params->erase(std::string(to_string(slot)));
  start.params = *params;
  for (const std::string& text : options_.widen) {
    auto site = parse_widen(text);
    if (!site) return tl::make_unexpected(site.error());
    site->may_miss = true;  // what is left may not come by it, which is an answer
    start.widen.push_back(*site);
  }
  auto plan = session_.prepare(options_.kernel, options_.machine, options_.bugs);
  if (!plan) return tl::make_unexpected(plan.error());
  plan_ = std::move(*plan);
  start.machine = plan_.machine;
  machines_[machine_text(start.machine)] = options_.machine;
  start.seconds = options_.seconds;
  return start;
}

TrialPlan ShrinkTrials::plan_of(const TrialPlan& base, const Subject& subject) const {
  TrialPlan out = base;
  out.machine = subject.machine;
  out.guest.seconds = subject.seconds;
  out.guest.widen = subject.widen;
  return out;
}

Result<Glimpse> ShrinkTrials::run(const Subject& subject) {
  TrialPlan plan = plan_of(plan_, subject);
  plan.guest.workload = options_.workload;
  plan.guest.params = subject.params;
  for (const auto& [key, value] : subject.composition.params()) plan.guest.params[key] = value;
  auto again = command(subject);
  if (!again) return tl::make_unexpected(again.error());
  plan.repeat_command = *again;
  auto ran = run_unbroken(session_, subject.composition.text(), [&] { return next_trial(plan); });
  if (!ran) return tl::make_unexpected(ran.error());
  return judge(*ran, false);
}

Result<Glimpse> ShrinkTrials::run_c(const Subject& subject, const std::filesystem::path& file) {
  if (!c_plan_) {
    auto payload = prepare_payload({PayloadSource::Kind::kC, file}, root_);
    if (!payload) return tl::make_unexpected(payload.error());
    auto plan = session_.prepare(options_.kernel, options_.machine, options_.bugs, *payload);
    if (!plan) return tl::make_unexpected(plan.error());
    c_plan_ = std::move(*plan);
  }
  TrialPlan plan = plan_of(*c_plan_, subject);
  plan.guest.workload = "program";
  plan.guest.params = {{kRunSeconds, run_seconds(subject)}};
  auto again = c_command(subject, file);
  if (!again) return tl::make_unexpected(again.error());
  plan.repeat_command = *again;
  auto ran = run_unbroken(session_, "the C file", [&] { return next_trial(plan); });
  if (!ran) return tl::make_unexpected(ran.error());
  return judge(*ran, true);
}

ReportedTrial ShrinkTrials::next_trial(const TrialPlan& plan) {
  ReportedTrial trial;
  trial.plan = plan;
  trial.side = options_.bugs.empty() ? plan.kernel.name : "bug put back";
  trial.number = ++count_;
  trial.of = 0;
  trial.plan.guest.seed = options_.seed + static_cast<std::uint64_t>(count_) - 1;
  trial.plan.name = fmt::format("trial-{:03}", count_);
  trial.plan.directory = root_ / trial.plan.name;
  return trial;
}

bool ShrinkTrials::is_bug(const Finding& finding, bool of_c_file) {
  if (of_c_file) return is_same_bug(finding, signature_);
  if (signature_.empty()) signature_ = finding.signature;
  if (finding.signature != signature_) return false;
  if (title_.empty()) {
    title_ = finding.title;
    in_log_ = finding.source == "console";
  }
  return true;
}

Glimpse ShrinkTrials::judge(const ReportedTrial& trial, bool of_c_file) {
  const Verdict& verdict = trial.result.verdict;
  kernel_ = trial.kernel;
  if (verdict.outcome == Outcome::kSkipped) return {Glimpse::Says::kCannot, 0};
  if (verdict.outcome != Outcome::kFound) return {Glimpse::Says::kNotFound, 0};
  for (const Finding& finding : verdict.findings) {
    if (!is_bug(finding, of_c_file)) continue;
    return {Glimpse::Says::kFound, seconds_until_verdict(trial.result)};
  }
  ++others_[verdict.findings.front().title];
  return {Glimpse::Says::kOther, 0};
}

Result<RunOptions> ShrinkTrials::options_of(const Subject& subject) {
  RunOptions out = options_;
  const std::string text = machine_text(subject.machine);
  std::string& machine = machines_[text];
  if (machine.empty()) {
    const std::filesystem::path file = root_ / fmt::format("machine-{}.toml", machines_.size() - 1);
    MachineSpec described = subject.machine;
    described.summary = "what shrink left of " + subject.machine.name;
    if (auto written = write_file(file, machine_text(described)); !written)
      return tl::make_unexpected(written.error());
    machine = file.string();
  }
  out.machine = machine;
  out.seconds = subject.seconds;
  out.params.clear();
  out.widen.clear();
  for (const WidenSite& site : subject.widen) out.widen.push_back(widen_text(site));
  return out;
}

Result<RunOptions> ShrinkTrials::composition_options(const Subject& subject) {
  auto options = options_of(subject);
  if (!options) return options;
  for (const auto& params : {subject.composition.params(), subject.params}) {
    for (const auto& [key, value] : params) {
      options->params.push_back(fmt::format("{}={}", key, value));
    }
  }
  return options;
}

Result<std::string> ShrinkTrials::command(const Subject& subject) {
  const auto options = composition_options(subject);
  if (!options) return tl::make_unexpected(options.error());
  return run_repeat_command(session_.options(), *options, options_.seed);
}

Result<std::string> ShrinkTrials::command_elsewhere(const Subject& subject) {
  auto options = composition_options(subject);
  if (!options) return tl::make_unexpected(options.error());
  options->machine = std::filesystem::path(options->machine).filename();
  options->kernel = std::filesystem::path(options->kernel).filename();
  return run_repeat_command({}, *options, options_.seed);
}

Result<std::string> ShrinkTrials::c_command(const Subject& subject,
                                            const std::filesystem::path& file) {
  auto options = options_of(subject);
  if (!options) return tl::make_unexpected(options.error());
  options->params = {fmt::format("{}={}", kRunSeconds, run_seconds(subject))};
  options->payload = PayloadSource{PayloadSource::Kind::kC, file};
  return run_repeat_command(session_.options(), *options, options_.seed);
}

}  // namespace mmquake
