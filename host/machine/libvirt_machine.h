// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <libvirt/libvirt.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "host/machine/channel.h"
#include "host/machine/console_tail.h"
#include "host/machine/machine.h"
#include "host/machine/vcpu_threads.h"
#include "host/machine/vm_status.h"

namespace mmquake {

struct DomainDeleter {
  void operator()(virDomainPtr domain) const { virDomainFree(domain); }
};
using DomainHandle = std::unique_ptr<virDomain, DomainDeleter>;

// One VM of libvirt, from its start on.
class LibvirtMachine final : public Machine {
 public:
  struct Parts {
    DomainHandle domain;
    std::shared_ptr<VmStatus> status;
    ConsoleTail console;
    Channel serial;
    Channel virtio;
    bool embedded = false;           // libvirt runs in this process, and QEMU is our child
    std::filesystem::path qemu_log;  // empty where it is not ours to read
    std::string uuid;                // stands in QEMU's arguments
    std::chrono::milliseconds monitor_limit{};  // as of BootRequest
    // Called once, when the VM has ended for good.
    std::function<void()> on_gone;
  };
  explicit LibvirtMachine(Parts parts);
  LibvirtMachine(const LibvirtMachine&) = delete;
  LibvirtMachine& operator=(const LibvirtMachine&) = delete;
  ~LibvirtMachine() override;

  Result<MachineActivity> wait(std::chrono::milliseconds timeout) override;
  Result<> send(std::string_view bytes) override;
  Result<> inject_nmi() override;
  Result<> resume() override;
  Result<std::string> monitor(const std::string& hmp_command) override;
  Result<> dump(const std::filesystem::path& file) override;
  std::vector<VcpuTime> vcpu_times() override;
  Result<> destroy() override;

 private:
  using Clock = std::chrono::steady_clock;
  MachineActivity take();
  // Runs `call`, which asks QEMU something and returns below 0 for an error.
  Result<> ask(const std::string& what, const std::function<int()>& call) {
    return ask(what, parts_.monitor_limit, call);
  }
  Result<> ask(const std::string& what, std::chrono::milliseconds patience,
               const std::function<int()>& call);
  Result<> sleep_until_news(Clock::time_point deadline);

  Parts parts_;
  Clock::time_point console_read_;
  std::optional<VcpuThreads> vcpus_;
  bool gone_ = false;
};

// The last lines that QEMU itself wrote to libvirt's log of a VM.
std::string qemu_last_words(const std::filesystem::path& log);

}  // namespace mmquake
