// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "host/bisect/vm_tester.h"
#include "host/cli/session.h"
#include "host/cli/status_line.h"

namespace mmquake {

// This host's kernels and VMs.
class SessionVmWorld final : public bisect::VmWorld {
 public:
  // All references outlive this. `machine` is the trial's; `kernels` is the folder with a file for
  // each kernel, for the command that repeats a trial.
  SessionVmWorld(Session& session, std::filesystem::path kernels, const bisect::VmTrial& trial,
                 MachineSpec machine, StatusLine& status)
      : session_(session),
        kernels_(std::move(kernels)),
        trial_(trial),
        machine_(std::move(machine)),
        status_(status) {}

  Result<KernelAttempt> build(const KernelSpec& kernel, const ProgressSink& progress) override;
  Result<TrialPlan> plan(const KernelSpec& kernel, const KernelArtifact& artifact) override;
  Result<TrialResult> run(TrialPlan plan, std::uint32_t number,
                          const TrialObserver& observer) override;
  bool should_stop() override;

 private:
  Session& session_;
  std::filesystem::path kernels_;
  const bisect::VmTrial& trial_;
  MachineSpec machine_;
  StatusLine& status_;
};

// A tester of VMs with all that it needs.
class VmTesting {
 public:
  struct Settings {
    bisect::VmTrial trial;
    std::filesystem::path kernels;    // as SessionVmWorld has it
    std::filesystem::path directory;  // of the trials
    std::function<Result<KernelSpec>(const bisect::Commit&)> kernel_of;
    std::function<std::string()> signature;  // what counts as the bug; empty: not known yet
  };
  // Usage error when this host cannot hold the machine. `status` outlives this.
  static Result<std::unique_ptr<VmTesting>> open(const CommonOptions& common, Settings settings,
                                                 StatusLine& status);
  bisect::VmTester& tester() { return *tester_; }

 private:
  VmTesting(std::unique_ptr<Session> session, Settings settings, MachineSpec machine,
            StatusLine& status);

  std::unique_ptr<Session> session_;
  Settings settings_;
  SessionVmWorld world_;
  std::unique_ptr<bisect::VmTester> tester_;
};

// The name of a commit's kernel: as much of its hash as tells it from others.
std::string kernel_name(const bisect::Commit& commit);

}  // namespace mmquake
