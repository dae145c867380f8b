// SPDX-License-Identifier: GPL-2.0-or-later
//
// A hypervisor without VMs: plays scripts, notes what was asked of it. For tests.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "host/machine/machine.h"

namespace mmquake {

// One step of a VM's script. The step is held back until what it waits for has happened since
// the step before it, and then for `after` more.
struct FakeStep {
  enum class WaitsFor { kNothing, kSend, kNmi, kResume };
  MachineActivity activity;
  WaitsFor waits_for = WaitsFor::kNothing;
  std::chrono::milliseconds after{0};
};

// The life of one VM. After the last step it stays in that step's state, silent.
struct FakeScript {
  std::vector<FakeStep> steps;
  std::string start_error;  // not empty: start() fails with it, as kBroken
  std::function<std::vector<VcpuTime>()> vcpu_times{};  // without it nobody knows them
  // Answers the monitor; without it every answer is empty.
  std::function<Result<std::string>(const std::string&)> monitor{};
  // Writes a dump; without it there is none, and no error.
  std::function<Result<>(const std::filesystem::path&)> dump{};
};

// What was asked of one fake VM. Outlives the Machine.
struct FakeMachineLog {
  BootRequest request;
  std::vector<std::string> sent;
  std::vector<std::string> monitor;
  std::vector<std::filesystem::path> dumps;
  int nmis = 0;
  int resumes = 0;
  bool destroyed = false;
};

class FakeHypervisor final : public Hypervisor {
 public:
  // `scripts`: one a start(), in order; the last one serves all later starts as well.
  explicit FakeHypervisor(std::vector<FakeScript> scripts);
  FakeHypervisor(const FakeHypervisor&) = delete;
  FakeHypervisor& operator=(const FakeHypervisor&) = delete;
  ~FakeHypervisor() override;

  // Called instead of sleeping when a VM is silent: a test moves its own clock there. Without
  // it the fake really waits.
  void set_idle(std::function<void(std::chrono::milliseconds)> idle) { idle_ = std::move(idle); }

  Result<std::unique_ptr<Machine>> start(const BootRequest& request) override;
  std::string version() const override { return version_; }
  void set_version(std::string version) { version_ = std::move(version); }

  // One entry a start(), failed ones included.
  const std::vector<std::shared_ptr<FakeMachineLog>>& log() const { return log_; }

 private:
  std::vector<FakeScript> scripts_;
  std::function<void(std::chrono::milliseconds)> idle_;
  std::string version_ = "QEMU 0.0.0 (fake), libvirt 0.0.0 (fake)";
  std::vector<std::shared_ptr<FakeMachineLog>> log_;
};

}  // namespace mmquake
