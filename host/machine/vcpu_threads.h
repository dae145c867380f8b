// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "host/machine/vcpu_history.h"

namespace mmquake {

// The threads of a QEMU on this host that run its vCPUs, in the order of these. QEMU names them
// "CPU 0/KVM" or "CPU 0/TCG"; libvirt asks for the names (debug-threads=on).
class VcpuThreads {
 public:
  VcpuThreads() = default;  // of none
  // Another directory than /proc is for tests.
  explicit VcpuThreads(pid_t qemu, const std::filesystem::path& proc = "/proc");

  // Empty when there are none, or when one has ended.
  std::vector<VcpuTime> read() const;

 private:
  std::vector<std::filesystem::path> threads_;
};

// The text of schedstat and stat in /proc/PID/task/TID. Nothing: they are not what they should be.
std::optional<VcpuTime> parse_vcpu_time(const std::string& schedstat, const std::string& stat);

}  // namespace mmquake
