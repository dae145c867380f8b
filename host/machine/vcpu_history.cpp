// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/machine/vcpu_history.h"

#include <algorithm>

namespace mmquake {
namespace {

// Samples are a second apart, unless we did not run ourselves: the host was suspended, or stopped
// us and QEMU alike.
constexpr double kGapSeconds = 5;

}  // namespace

void VcpuHistory::add(double now_s, const std::vector<VcpuTime>& vcpus) {
  if (vcpus.empty()) return;
  // Another number of threads: it is not the VM that we know.
  if (samples_.empty() || vcpus.size() != last_.size()) {
    samples_.assign(1, {now_s, std::vector<VcpuShare>(vcpus.size())});
    ahead_.assign(vcpus.size(), 0);
    last_ = vcpus;
    return;
  }
  Sample next{now_s, samples_.back().sums};
  const double passed = now_s - samples_.back().at_s;
  for (std::size_t i = 0; i < vcpus.size(); ++i) {
    const double ran = std::max(0.0, vcpus[i].ran_s - last_[i].ran_s);
    const double waited = std::max(0.0, vcpus[i].waited_s - last_[i].waited_s);
    const double missing = passed - ran - waited;
    // The kernel adds a wait when it ends. Until then the thread only seems to do nothing; what
    // was taken for a wait then, the kernel's count brings once more.
    const double again = std::clamp(-missing, 0.0, ahead_[i]);
    const bool queued = vcpus[i].state == VcpuState::kRunnable && ran + waited == 0;
    const bool host = queued || vcpus[i].state == VcpuState::kHeld || passed > kGapSeconds;
    const double early = host ? std::max(0.0, missing) : 0;
    ahead_[i] += early - again;
    next.sums[i].ran_s += ran;
    next.sums[i].waited_s += waited + early - again;
  }
  last_ = vcpus;
  samples_.push_back(std::move(next));
  if (samples_.size() > kMaxSamples) samples_.pop_front();
}

std::vector<VcpuShare> VcpuHistory::shares(double end_s, double seconds) const {
  const auto by_time = [](const Sample& sample, double time) { return sample.at_s < time; };
  auto end = std::lower_bound(samples_.begin(), samples_.end(), end_s, by_time);
  if (end == samples_.end()) {
    if (samples_.empty()) return {};
    --end;
  }
  if (end == samples_.begin()) return {};
  auto start = std::lower_bound(samples_.begin(), end, end->at_s - seconds, by_time);
  if (start == end) --start;
  std::vector<VcpuShare> out = end->sums;
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i].ran_s -= start->sums[i].ran_s;
    out[i].waited_s -= start->sums[i].waited_s;
  }
  return out;
}

}  // namespace mmquake
