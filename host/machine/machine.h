// SPDX-License-Identifier: GPL-2.0-or-later
//
// A running VM behind an interface, so that everything above it is tested with a fake.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "guest/protocol/result.h"
#include "host/machine/vcpu_history.h"
#include "host/plan/plan.h"

namespace mmquake {

enum class Accelerator { kKvm, kTcg };

// Everything that shapes one boot.
struct BootRequest {
  std::string name;  // unique in this process: letters, digits, '-'
  MachineSpec machine;
  Accelerator accelerator = Accelerator::kTcg;
  std::filesystem::path bzimage;
  std::filesystem::path initramfs;
  std::vector<std::string> boot_args;  // beyond console=, panic= and the machine's own
  std::filesystem::path directory;     // console.log and domain.xml go here; exists
  // Not empty: QEMU's gdb stub listens on this socket, and the machine does not run before gdb says
  // so.
  std::filesystem::path gdb_socket;
  // A QEMU that has not answered its monitor for so long is killed: a host failure.
  std::chrono::milliseconds monitor_limit{60'000};
};

enum class MachineState {
  kRunning,
  kOff,        // the guest powered off, or somebody destroyed it
  kCrashed,    // pvpanic: the guest kernel panicked; the guest is paused
  kHostFailed  // QEMU died, or libvirt lost it: a host reason, never a finding
};

// What came since the last wait.
struct MachineActivity {
  std::string console;         // new bytes of ttyS0
  std::string records_virtio;  // new bytes of the virtio-serial port, if there is one
  std::string records_serial;  // new bytes of ttyS1, if there is one
  MachineState state = MachineState::kRunning;
  std::string host_failure;  // for kHostFailed: QEMU's last words
};

// One VM. The destructor ends it.
class Machine {
 public:
  virtual ~Machine() = default;
  // Returns when something came, when the state is no longer kRunning, or after `timeout`.
  // One call returns at most 1 MiB of each stream, so the caller's memory stays bounded.
  virtual Result<MachineActivity> wait(std::chrono::milliseconds timeout) = 0;
  // Writes to every record channel that the machine has (the guest reads the one it opened).
  virtual Result<> send(std::string_view bytes) = 0;
  virtual Result<> inject_nmi() = 0;
  virtual Result<> resume() = 0;  // after kCrashed: lets the panic print to its end
  virtual Result<std::string> monitor(const std::string& hmp_command) = 0;
  // Writes the guest's memory to `file` on the hypervisor's host: a kdump file, compressed, that
  // may be in pieces (flattened). The guest stands meanwhile, and runs again if it ran.
  virtual Result<> dump(const std::filesystem::path& file) = 0;
  // What the host has given each vCPU so far. Empty: nobody knows, as with a VM on another host.
  virtual std::vector<VcpuTime> vcpu_times() = 0;
  virtual Result<> destroy() = 0;  // idempotent
};

class Hypervisor {
 public:
  virtual ~Hypervisor() = default;
  virtual Result<std::unique_ptr<Machine>> start(const BootRequest& request) = 0;
  virtual std::string version() const = 0;  // "QEMU 7.2.22, libvirt 9.0.0"
};

}  // namespace mmquake
