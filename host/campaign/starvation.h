// SPDX-License-Identifier: GPL-2.0-or-later
//
// Did the guest have the time that a detector says has passed? Its clock goes on while its CPUs
// wait for a core of the host, so time alone accuses a kernel that was never run.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "guest/protocol/detectors.h"
#include "guest/protocol/records.h"
#include "host/console/console.h"
#include "host/machine/machine.h"

namespace mmquake {

// The time that a detector waited before it spoke, and what the vCPUs had of the host in it.
struct StallWindow {
  double seconds = 0;              // 0: it does not speak of time
  std::vector<VcpuShare> vcpus{};  // empty: nobody knows
};

// Seconds; nothing for a report or a finding that is right whatever the time.
std::optional<double> stall_seconds(const KernelReport& report, const DetectorTimes& times);
std::optional<double> stall_seconds(const FindingRecord& finding, const DetectorTimes& times);

// "vCPU 2 ran for 0.3 of 20 s and waited 18.1 s for a core": a vCPU that ran
// less than a quarter of the window and waited more than half of it. Nothing: there is none, and
// the detector is right. docs/architecture.md ("Time") has the measurements.
std::optional<std::string> starvation(const StallWindow& window);

// Asks the machine once a second what its vCPUs had, and remembers when the guest spoke.
class HostWatch {
 public:
  // The VM goes on with another trial: what came so far was about the one before. What the vCPUs
  // had stays known, since a detector may have waited for longer than this trial takes.
  void begin_trial();
  // `console_bytes` have been read by now.
  void tick(Machine& machine, std::uint64_t console_bytes);
  // The next of the guest's findings came, or its silence was noticed.
  void note_finding();
  void note_silence(double seconds);

  StallWindow before_report(const KernelReport& report, const DetectorTimes& times) const;
  StallWindow before_finding(std::size_t index, const FindingRecord& finding,
                             const DetectorTimes& times) const;
  StallWindow silence() const;

 private:
  StallWindow window(double end_s, std::optional<double> seconds) const;

  VcpuHistory history_;
  std::optional<double> last_tick_;
  std::vector<std::pair<std::uint64_t, double>> console_;  // bytes, and when they had been read
  std::vector<double> findings_;
  double silence_at_ = 0;
  std::optional<double> silence_s_;
};

}  // namespace mmquake
