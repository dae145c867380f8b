// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/campaign/stack_sampler.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "host/campaign/vcpu_registers.h"

namespace mmquake {
namespace {

constexpr std::uint64_t kStackBytes = 16384;  // THREAD_SIZE of x86_64, which stacks are aligned to

}  // namespace

void StackSampler::sample(Machine& machine) {
  if (stacks_.size() >= kMostStacks || !stop_guest(machine)) return;
  if (auto registers = machine.monitor("info registers -a")) {
    registers->resize(std::min(registers->size(), kMaxRegisters));
    for (const VcpuRegisters& vcpu : vcpu_registers(*registers)) {
      if (!vcpu.in_kernel() || vcpu.halted) continue;
      const std::uint64_t words = (kStackBytes - vcpu.rsp % kStackBytes) / sizeof(std::uint64_t);
      auto stack = machine.monitor(fmt::format("x /{}gx {:#x}", words, vcpu.rsp));
      if (stack) stacks_.push_back(walk_frames(vcpu, memory_words(*stack)));
    }
  }
  if (auto runs = machine.monitor("cont"); !runs) {
    spdlog::warn("the guest could not be resumed: {}", runs.error().message);
  }
}

}  // namespace mmquake
