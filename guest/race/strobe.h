// SPDX-License-Identifier: GPL-2.0-or-later
//
// Widens race windows from user space alone, for kernels that take no module: a SCHED_FIFO thread
// on each CPU that takes the CPU away from whoever runs there, at random moments and for random
// times. Wherever a role is then, in a race window or not, it stands still.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "guest/protocol/result.h"

namespace mmquake {

struct StrobePlan {
  std::vector<int> cpus;  // the kernel's numbers
  std::uint64_t seed = 0;
  std::chrono::microseconds max_flash{2000};  // how long a CPU is taken away
  std::chrono::microseconds max_pause{8000};  // between two flashes of one thread
};

class Strobe {
 public:
  // Starts flashing. Error when a thread may not have real-time priority (CAP_SYS_NICE).
  static Result<std::unique_ptr<Strobe>> start(const StrobePlan& plan);
  ~Strobe();
  Strobe(const Strobe&) = delete;
  Strobe& operator=(const Strobe&) = delete;

  // Flashes so far, over all CPUs.
  std::uint64_t flashes() const { return flashes_.load(); }

 private:
  Strobe() = default;
  void flash(int cpu, const StrobePlan& plan);

  std::atomic<bool> stop_{false};
  std::atomic<std::uint64_t> flashes_{0};
  std::vector<std::thread> threads_;
};

}  // namespace mmquake
