// SPDX-License-Identifier: GPL-2.0-or-later
//
// How much of the host the VM's CPUs had. Pure: fed with what /proc said, and when.
#pragma once

#include <cstddef>
#include <deque>
#include <vector>

namespace mmquake {

// kRunnable runs or wants to; kHeld is stopped, or sleeps on the host's disk or swap.
enum class VcpuState { kIdle, kRunnable, kHeld };

// The counters of one vCPU's thread, since it began, and what it does now.
struct VcpuTime {
  double ran_s = 0;
  double waited_s = 0;  // in the host's run queue
  VcpuState state = VcpuState::kIdle;
};

// What a vCPU had in a stretch of time. The rest of it the vCPU was idle.
struct VcpuShare {
  double ran_s = 0;
  double waited_s = 0;  // wanted to run, and the host did not let it
};

class VcpuHistory {
 public:
  // `now_s` counts while the host is suspended too. Without vCPUs nothing is noted.
  void add(double now_s, const std::vector<VcpuTime>& vcpus);
  // One share for each vCPU, of the `seconds` before `end_s`. Empty: nothing is known of it. What
  // was before the first sample counts as idle.
  std::vector<VcpuShare> shares(double end_s, double seconds) const;

 private:
  struct Sample {
    double at_s = 0;
    std::vector<VcpuShare> sums;  // since the first sample
  };
  // Two hours of one sample a second; older ones are dropped.
  static constexpr std::size_t kMaxSamples = 7200;

  std::deque<Sample> samples_;
  std::vector<VcpuTime> last_;
  std::vector<double> ahead_;  // of the kernel's own count: waits that have not ended yet
};

}  // namespace mmquake
