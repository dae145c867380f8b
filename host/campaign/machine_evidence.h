// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a finding leaves that only the host can see: registers, and memory.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "host/campaign/trial.h"
#include "host/machine/machine.h"

namespace mmquake {

// Taken of the VM at the moment of the first finding, with all vCPUs stopped: registers.txt, and
// with TrialPlan::dump the memory as vmcore. What cannot be taken is said, and costs no trial its
// verdict.
class MachineEvidence {
 public:
  explicit MachineEvidence(const TrialPlan& plan) : plan_(plan) {}

  // The first call takes it; true then. `crashed`: the guest is stopped already, and is not to run
  // again.
  bool take(Machine& machine, bool crashed);
  // For report.txt, a line each.
  const std::vector<std::string>& lines() const { return lines_; }

 private:
  void take_registers(Machine& machine);
  void take_dump(Machine& machine);

  const TrialPlan& plan_;
  bool taken_ = false;
  std::string registers_;  // as QEMU prints them
  std::vector<std::string> lines_;
};

// "vCPU 1 in handle_userfault+0x1b, halted" for each CPU of QEMU's 'info registers -a'; `place`
// names an address of the kernel's code, or gives nothing.
std::vector<std::string> vcpu_places(std::string_view registers,
                                     const std::function<std::string(std::uint64_t)>& place);

}  // namespace mmquake
