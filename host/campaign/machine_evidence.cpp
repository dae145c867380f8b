// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/campaign/machine_evidence.h"

#include <fmt/format.h>

#include <fstream>
#include <system_error>

#include "host/campaign/flattened_dump.h"
#include "host/campaign/vcpu_registers.h"
#include "host/campaign/vmcoreinfo.h"
#include "host/console/console.h"
#include "host/console/debug_info.h"

namespace mmquake {
namespace {

namespace fs = std::filesystem;

// Whether paging has five levels: bit 12 of CR4 (LA57).
bool has_five_levels(std::string_view registers) {
  return (register_of(registers, "CR4").value_or(0) & 0x1000) != 0;
}

}  // namespace

std::vector<std::string> vcpu_places(std::string_view registers,
                                     const std::function<std::string(std::uint64_t)>& place) {
  std::vector<std::string> out;
  for (const VcpuRegisters& vcpu : vcpu_registers(registers)) {
    std::string where = vcpu.in_kernel() ? place(vcpu.rip) : "user mode";
    if (where.empty()) where = fmt::format("{:#x}", vcpu.rip);
    out.push_back(fmt::format("vCPU {} in {}{}", vcpu.name, where, vcpu.halted ? ", halted" : ""));
  }
  return out;
}

void MachineEvidence::take_registers(Machine& machine) {
  std::string text;
  for (const char* command : {"info status", "info cpus", "info registers -a"}) {
    auto answer = machine.monitor(command);
    if (!answer) {
      lines_.push_back("no registers: " + answer.error().message);
      return;
    }
    text += fmt::format("{}\n{}\n", command, answer->substr(0, kMaxRegisters));
  }
  std::erase(text, '\r');  // QEMU's monitor is made for terminals
  const auto debug_info = DebugInfo::open(plan_.kernel.vmlinux);
  const std::vector<std::string> places = vcpu_places(text, [&](std::uint64_t address) {
    return debug_info ? (*debug_info)->symbols().place_of(address) : std::string();
  });
  registers_ = escape_for_terminal(text);
  std::ofstream file(plan_.directory / "registers.txt");
  file << registers_ << std::flush;
  if (!file) {
    lines_.emplace_back("no registers: cannot write registers.txt: is the disk full?");
    return;
  }
  lines_.emplace_back("registers.txt: the registers of all vCPUs");
  lines_.insert(lines_.end(), places.begin(), places.end());
}

void MachineEvidence::take_dump(Machine& machine) {
  std::error_code error;
  const std::uint64_t needed = plan_.machine.memory_mib();
  const std::uint64_t free = fs::space(plan_.directory, error).available >> 20;
  if (!error && free < needed) {
    lines_.push_back(fmt::format("no dump: {} MiB are free, and it may take {}", free, needed));
    return;
  }
  const fs::path flat = fs::absolute(plan_.directory) / "vmcore.flat";
  if (auto dumped = machine.dump(flat); !dumped) {
    lines_.push_back("no dump: " + escape_for_terminal(dumped.error().message));
    return;
  }
  auto size = unflatten(flat, plan_.directory / "vmcore");
  fs::remove(flat, error);
  if (!size) {
    lines_.push_back("no dump: " + size.error().message);
    return;
  }
  const fs::path vmcore = plan_.directory / "vmcore";
  if (plan_.kernel.vmlinux.empty()) {
    lines_.push_back(
        fmt::format("vmcore: the guest's memory, {} MiB; it takes the vmlinux of the "
                    "distribution's package of debug information to open it",
                    *size >> 20));
    return;
  }
  lines_.push_back(fmt::format("vmcore: the guest's memory, {} MiB; to open it:", *size >> 20));
  const std::string vmlinux = debug_vmlinux(plan_.kernel).string();
  lines_.push_back(fmt::format("  mmquake kernel debug-info {}", plan_.kernel.name));
  lines_.push_back(fmt::format("  crash {} {}", vmlinux, vmcore.string()));
  const auto told = add_vmcoreinfo(vmcore, {.release = plan_.kernel.release,
                                            .vmlinux = plan_.kernel.vmlinux,
                                            .five_levels = has_five_levels(registers_)});
  lines_.push_back(told ? fmt::format("  drgn -s {} -c {}", vmlinux, vmcore.string())
                        : "  not with drgn: " + told.error().message);
}

bool MachineEvidence::take(Machine& machine, bool crashed) {
  if (taken_) return false;
  taken_ = true;
  const bool stopped = !crashed && stop_guest(machine);
  take_registers(machine);
  if (plan_.dump) take_dump(machine);
  if (!stopped) return true;
  if (auto runs = machine.monitor("cont"); !runs) {
    lines_.push_back("the guest could not be resumed: " + runs.error().message);
  }
  return true;
}

}  // namespace mmquake
