// SPDX-License-Identifier: GPL-2.0-or-later
//
// One run of one workload with one seed, from boot to verdict.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "guest/protocol/records.h"
#include "host/campaign/starvation.h"
#include "host/campaign/verdict.h"
#include "host/kernel/kernel_store.h"
#include "host/machine/machine.h"
#include "host/plan/plan.h"

namespace mmquake {

struct TrialPlan {
  std::string name;  // unique in this process; names the VM
  KernelArtifact kernel;
  std::vector<std::string> kernel_boot_args;
  std::vector<std::string> bugs;  // switches that are put on
  MachineSpec machine;
  Accelerator accelerator = Accelerator::kTcg;
  std::filesystem::path initramfs;
  GuestPlan guest;                  // its slowdown is measured, not planned
  std::filesystem::path directory;  // is created
  std::string repeat_command;
  bool dump = false;                 // a finding leaves the guest's memory beside its report
  std::filesystem::path gdb_socket;  // as of BootRequest
  bool keeps_vm = false;             // once it has passed, the VM may run another
  bool samples_stacks = false;       // of the kernel, while the workload runs: StackSampler
};

// A VM that has run trials, all of which passed, and waits for another of the same kernel, machine,
// switches and initramfs. The destructor ends it.
struct KeptVm {
  std::unique_ptr<Machine> machine;  // nullptr: there is none
  Hello hello;
  double slowdown = 0;
  HostWatch host;
  std::vector<std::string> trials;  // names of those that it has run
};

// What the trial is doing, for a status line: at least once a second.
struct TrialStatus {
  std::string phase;   // "booting", "running", "ending"
  double seconds = 0;  // guest time of the workload
  std::uint64_t rounds = 0;
  std::uint64_t findings = 0;
  Counters counters;
};
using TrialObserver = std::function<void(const TrialStatus&)>;

struct TrialResult {
  Verdict verdict;
  TrialEnd end = TrialEnd::kHostFailure;
  Hello hello;      // empty when the guest never said hello
  Summary summary;  // empty when there was none; then from the last heartbeat
  double slowdown = 0;
  double boot_seconds = 0;  // from start to the first hello, host time
  double wall_seconds = 0;  // from start to the end of the VM, host time
  RecordReader::Stats channel;
  std::uint64_t console_bytes = 0;
  std::vector<std::vector<std::uint64_t>> stacks;  // as StackSampler has them
  std::vector<std::string> machine_evidence;       // what was taken of the VM when it was found
  std::set<std::string> log_shapes;  // of what the kernel printed since the first hello
  std::filesystem::path directory;
  std::vector<std::string> before;  // trials that its VM had run: it was not booted for this one
};

// Deadlines, all in host seconds. Under TCG everything but `boot` and `base` is multiplied by
// detector_scale(), in the order in which syzkaller scales its detectors: each is longer than the
// one before, so that the kernel's own report always comes first.
struct Deadlines {
  double boot = 120;                          // to the first hello
  double silence = 60;                        // without a record; x scale
  double overrun = 60;                        // beyond the plan's seconds; x scale
  double power_off = 15;                      // from the summary to the end; x scale
  double panic_print = 3;                     // for the rest of a panic message; x scale
  std::uint64_t console_limit = 64ULL << 20;  // bytes
};

// How much longer the watchdogs wait under an accelerator that is `slowdown` times slower than
// this host's CPU: slowdown / 4, within [1, 6]. A kernel under KVM gets 1.
double detector_scale(double slowdown);

// Runs the trial. An error is returned only when the directory cannot be made or written;
// a VM that does not start is a broken verdict. `should_stop` ends it within 200 ms.
Result<TrialResult> run_trial(const TrialPlan& plan, Hypervisor& hypervisor,
                              const TrialObserver& observer,
                              const std::function<bool()>& should_stop,
                              const Deadlines& deadlines = {});

// As above; in `vm` if there is one, else in one that it boots. When it has passed, and the plan
// keeps it, the VM is in `vm` again; in every other case it has ended.
Result<TrialResult> run_trial(const TrialPlan& plan, Hypervisor& hypervisor, KeptVm& vm,
                              const TrialObserver& observer,
                              const std::function<bool()>& should_stop,
                              const Deadlines& deadlines = {});

}  // namespace mmquake
