// SPDX-License-Identifier: GPL-2.0-or-later
//
// Work that every CPU has done: a measure of time that a busy host cannot stretch. A guest's clock
// goes on while its CPUs wait for a core of the host, so that a role looks stuck that only never
// ran. Once each CPU has done a fixed piece of work beside it, at the same priority, it had its
// share of the CPU too.
#pragma once

#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <vector>

namespace mmquake {

inline constexpr std::size_t kMaxWorkers = 64;

// In shared memory: who asks and who works are different processes, since whoever hangs in the
// workload's address space must not hold up the workers.
struct CpuWork {
  std::atomic<std::uint32_t> asked{0};    // units, in all; a futex
  std::atomic<std::uint32_t> workers{0};  // one a CPU
  std::array<std::atomic<std::uint32_t>, kMaxWorkers> done{};

  // `units` more for every CPU. Gives the goal for behind().
  std::uint32_t ask(std::uint32_t units);
  // How many CPUs have not reached the goal yet.
  std::uint32_t behind(std::uint32_t goal) const;
};

// A process with a thread pinned to each CPU. One unit is calibrate(), 2 to 10 ms of a CPU, and
// five times that when it is emulated.
class CpuWorkers {
 public:
  // To be called by a process with one thread. Without workers (fork failed) nothing is ever
  // behind.
  CpuWorkers(CpuWork& work, const std::vector<int>& cpus);
  CpuWorkers(const CpuWorkers&) = delete;
  CpuWorkers& operator=(const CpuWorkers&) = delete;
  // Kills the process; waits for its end, but not for a thread whose CPU never comes back.
  ~CpuWorkers();

 private:
  pid_t pid_ = -1;
};

}  // namespace mmquake
