// SPDX-License-Identifier: GPL-2.0-or-later
//
// Trials in VMs: each commit's kernel is built, and runs a workload.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>

#include "host/bisect/tester.h"
#include "host/bisect/vm_trial.h"
#include "host/kernel/kernel_store.h"

namespace mmquake::bisect {

// Kernels and VMs.
class VmWorld {
 public:
  virtual ~VmWorld() = default;
  virtual Result<KernelAttempt> build(const KernelSpec& kernel, const ProgressSink& progress) = 0;
  // Machine, accelerator, initramfs and boot arguments for trials of the kernel.
  virtual Result<TrialPlan> plan(const KernelSpec& kernel, const KernelArtifact& artifact) = 0;
  // Boots it, and writes the files of the trial. An error of the kind kUsage: a widening site has
  // no place in this kernel.
  virtual Result<TrialResult> run(TrialPlan plan, std::uint32_t number,
                                  const TrialObserver& observer) = 0;
  virtual bool should_stop() = 0;
};

// A kernel that cannot be built, booted or widened as asked leaves its commit untested; a host that
// fails in a build ends the bisection, and in a trial breaks the trial. One that is never heard of
// breaks its trial as well, but not three times in a row: then it cannot be tested.
class VmTester final : public KernelTester {
 public:
  struct Settings {
    VmTrial trial;
    // The kernel of a commit: what it is built of.
    std::function<Result<KernelSpec>(const Commit&)> kernel_of;
    // What counts as the bug by now; empty: not known yet.
    std::function<std::string()> signature;
    std::filesystem::path directory;  // of the trials' folders and the logs of failed builds
  };
  // `world` outlives this.
  VmTester(Settings settings, VmWorld& world) : settings_(std::move(settings)), world_(world) {}

  bool is_ready(const Commit& commit) const override { return plans_.contains(commit.id); }
  Result<BuildResult> build(const Commit& commit, const StatusSink& status) override;
  Result<TrialOutcome> trial(const Commit& commit, std::uint32_t number, std::uint64_t seed,
                             const StatusSink& status) override;

 private:
  Settings settings_;
  VmWorld& world_;
  // Of each commit whose kernel is there. A plan keeps its artifact from being removed.
  std::map<std::string, TrialPlan> plans_;
  int silent_boots_ = 0;  // in a row
};

}  // namespace mmquake::bisect
