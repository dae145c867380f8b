// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/cli/vm_world.h"

#include <fmt/format.h>

#include "host/cli/commands.h"
#include "host/cli/interrupt.h"
#include "host/plan/widen_text.h"

namespace mmquake {

Result<KernelAttempt> SessionVmWorld::build(const KernelSpec& kernel,
                                            const ProgressSink& progress) {
  return session_.kernels().attempt(kernel, progress, interrupted);
}

Result<TrialPlan> SessionVmWorld::plan(const KernelSpec& kernel, const KernelArtifact& artifact) {
  return session_.plan_for(kernel, artifact, machine_, trial_.bugs, std::nullopt, status_);
}

Result<TrialResult> SessionVmWorld::run(TrialPlan plan, std::uint32_t number,
                                        const TrialObserver& observer) {
  RunOptions again;
  again.workload = trial_.workload;
  again.kernel = (kernels_ / (plan.kernel.name + ".toml")).string();
  again.machine = trial_.machine;
  again.seconds = trial_.seconds;
  again.bugs = trial_.bugs;
  for (const auto& [key, value] : trial_.params)
    again.params.push_back(fmt::format("{}={}", key, value));
  for (const WidenSite& site : trial_.widen) again.widen.push_back(widen_text(site));
  plan.repeat_command = run_repeat_command(session_.options(), again, plan.guest.seed);
  ReportedTrial trial;
  trial.side = plan.kernel.name;
  trial.number = static_cast<int>(number);
  trial.of = 0;
  trial.plan = std::move(plan);
  KeptVm none;
  auto ran = session_.run_quietly(std::move(trial), none, observer);
  if (!ran) return tl::make_unexpected(ran.error());
  return std::move(ran->result);
}

bool SessionVmWorld::should_stop() {
  return interrupted();
}

std::string kernel_name(const bisect::Commit& commit) {
  return commit.id.substr(0, 12);
}

VmTesting::VmTesting(std::unique_ptr<Session> session, Settings settings, MachineSpec machine,
                     StatusLine& status)
    : session_(std::move(session)),
      settings_(std::move(settings)),
      world_(*session_, settings_.kernels, settings_.trial, std::move(machine), status) {
  tester_ = std::make_unique<bisect::VmTester>(
      bisect::VmTester::Settings{settings_.trial, settings_.kernel_of, settings_.signature,
                                 settings_.directory},
      world_);
}

Result<std::unique_ptr<VmTesting>> VmTesting::open(const CommonOptions& common, Settings settings,
                                                   StatusLine& status) {
  CommonOptions options = common;
  options.accel = settings.trial.accelerator;
  options.connect = settings.trial.connect;
  auto session = Session::open(std::move(options));
  if (!session) return tl::make_unexpected(session.error());
  auto machine = (*session)->machine_that_fits(settings.trial.machine);
  if (!machine) return tl::make_unexpected(machine.error());
  return std::unique_ptr<VmTesting>(
      new VmTesting(std::move(*session), std::move(settings), std::move(*machine), status));
}

}  // namespace mmquake
