// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <vector>

#include "host/machine/machine.h"

namespace mmquake {

// Where the kernel of a running VM spends its time, seen from outside: the VM stands still for a
// moment, and the stack of each vCPU that is in the kernel is read by its frame pointers. Nothing
// is needed in the guest, and what a stack says the guest may have made up.
class StackSampler {
 public:
  static constexpr std::size_t kMostStacks = 4096;

  // One look. What cannot be read is left out.
  void sample(Machine& machine);
  // Addresses, innermost first (walk_frames()); vCPUs that idle or run programs have none.
  const std::vector<std::vector<std::uint64_t>>& stacks() const { return stacks_; }

 private:
  std::vector<std::vector<std::uint64_t>> stacks_;
};

}  // namespace mmquake
