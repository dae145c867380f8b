// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/campaign/starvation.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <string_view>

namespace mmquake {
namespace {

constexpr double kTickSeconds = 1;
constexpr double kRanAtMost = 1.0 / 4;
constexpr double kWaitedAtLeast = 1.0 / 2;
// workqueue.watchdog_thresh, which nobody sets.
constexpr double kWorkqueueSeconds = 30;

// Goes on while the host is suspended, as a guest's clock may.
double now_s() {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

}  // namespace

std::optional<double> stall_seconds(const KernelReport& report, const DetectorTimes& times) {
  if (report.kind == "rcu-stall") return times.rcu_stall;
  if (report.kind == "hung-task") return times.hung_task;
  if (report.kind == "hard-lockup") return times.soft_lockup / 2.0;
  if (report.kind != "soft-lockup") return std::nullopt;
  const bool workqueue = report.title.find("workqueue") != std::string::npos;
  return workqueue ? kWorkqueueSeconds : times.soft_lockup;
}

// The guest lets its CPUs work beside a late role, but not as long as the role's own work may
// take: on a starved host it has blamed the clean kernel.
std::optional<double> stall_seconds(const FindingRecord& finding, const DetectorTimes& times) {
  if (finding.kind != "hang") return std::nullopt;
  return times.hung_task;
}

std::optional<std::string> starvation(const StallWindow& window) {
  const VcpuShare* worst = nullptr;
  for (const VcpuShare& vcpu : window.vcpus) {
    if (vcpu.ran_s >= kRanAtMost * window.seconds) continue;
    if (vcpu.waited_s <= kWaitedAtLeast * window.seconds) continue;
    if (worst == nullptr || vcpu.waited_s > worst->waited_s) worst = &vcpu;
  }
  if (worst == nullptr) return std::nullopt;
  return fmt::format("vCPU {} ran for {:.1f} of {:.0f} s and waited {:.1f} s for a core",
                     worst - window.vcpus.data(), worst->ran_s, window.seconds,
                     std::min(worst->waited_s, window.seconds));
}

void HostWatch::tick(Machine& machine, std::uint64_t console_bytes) {
  const double now = now_s();
  if (last_tick_ && now - *last_tick_ < kTickSeconds) return;
  last_tick_ = now;
  history_.add(now, machine.vcpu_times());
  if (console_.empty() || console_bytes > console_.back().first) {
    console_.emplace_back(console_bytes, now);
  }
}

void HostWatch::begin_trial() {
  console_.clear();
  findings_.clear();
  silence_at_ = 0;
  silence_s_.reset();
}

void HostWatch::note_finding() {
  findings_.push_back(now_s());
}

void HostWatch::note_silence(double seconds) {
  silence_at_ = now_s();
  silence_s_ = seconds;
}

StallWindow HostWatch::window(double end_s, std::optional<double> seconds) const {
  if (!seconds) return {};
  return {*seconds, history_.shares(end_s, *seconds)};
}

StallWindow HostWatch::before_report(const KernelReport& report, const DetectorTimes& times) const {
  // Its first line ends behind its offset.
  const auto read = std::upper_bound(
      console_.begin(), console_.end(), report.offset,
      [](std::uint64_t offset, const auto& entry) { return offset < entry.first; });
  return window(read == console_.end() ? now_s() : read->second, stall_seconds(report, times));
}

StallWindow HostWatch::before_finding(std::size_t index, const FindingRecord& finding,
                                      const DetectorTimes& times) const {
  if (index >= findings_.size()) return {};
  return window(findings_[index], stall_seconds(finding, times));
}

StallWindow HostWatch::silence() const {
  return window(silence_at_, silence_s_);
}

}  // namespace mmquake
