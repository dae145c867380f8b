// SPDX-License-Identifier: GPL-2.0-or-later
//
// The vCPUs of a VM that stands still: their registers as QEMU prints them, and the stacks of those
// that are in the kernel. All of it is the guest's and may be anything.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "host/machine/machine.h"

namespace mmquake {

// What is read of an answer at most; a vCPU takes some 2 KiB.
inline constexpr std::size_t kMaxRegisters = std::size_t{512} * 1024;
// Where the kernel's half of the addresses begins.
inline constexpr std::uint64_t kKernelHalf = 1ULL << 63;

struct VcpuRegisters {
  std::string_view name;  // its number
  std::uint64_t rip = 0, rsp = 0, rbp = 0;
  bool halted = false;
  bool in_kernel() const { return rip >= kKernelHalf; }
};

// Of the answer to 'info registers -a', into which the names are views. Who has no RIP is left out.
std::vector<VcpuRegisters> vcpu_registers(std::string_view answer);
// Of one register by its name, as "CR4"; the first vCPU's.
std::optional<std::uint64_t> register_of(std::string_view answer, std::string_view name);

// Stops the guest. True: it stands now, and runs again when told to ('cont'); it may have panicked
// just before, and then has to stay as it is.
bool stop_guest(Machine& machine);

// The 64-bit words of the answer to 'x /NUMBERgx ADDRESS'; none if the memory could not be read.
std::vector<std::uint64_t> memory_words(std::string_view answer);

// Where a vCPU in the kernel is, and where each of its callers goes on, innermost first, by the
// chain of frame pointers (CONFIG_FRAME_POINTER): `words` is its stack from RSP on. In a function's
// first instructions the caller's frame is not there yet, and the caller is left out.
std::vector<std::uint64_t> walk_frames(const VcpuRegisters& vcpu,
                                       std::span<const std::uint64_t> words);

}  // namespace mmquake
