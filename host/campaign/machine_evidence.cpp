// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/campaign/machine_evidence.h"

#include <fmt/format.h>

#include <charconv>
#include <fstream>
#include <optional>
#include <system_error>

#include "host/campaign/flattened_dump.h"
#include "host/campaign/vmcoreinfo.h"
#include "host/console/console.h"
#include "host/console/debug_info.h"

namespace mmquake {
namespace {

namespace fs = std::filesystem;
constexpr std::size_t kMaxRegisters = std::size_t{512} * 1024;  // of some 2 KiB a vCPU
constexpr std::uint64_t kKernelHalf = 1ULL << 63;

// What stands behind `key` in `text`, up to a blank.
std::string_view value_of(std::string_view text, std::string_view key) {
  const std::size_t at = text.find(key);
  if (at == std::string_view::npos) return {};
  text.remove_prefix(at + key.size());
  return text.substr(0, text.find_first_of(" \r\n"));
}

std::optional<std::uint64_t> address_of(std::string_view text) {
  std::uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, value, 16);
  if (text.empty() || read.ec != std::errc() || read.ptr != end) return std::nullopt;
  return value;
}

// Whether paging has five levels: bit 12 of CR4 (LA57).
bool has_five_levels(std::string_view registers) {
  return (address_of(value_of(registers, "CR4=")).value_or(0) & 0x1000) != 0;
}

// Whether the machine is stopped now, and runs again when told so.
bool stop(Machine& machine) {
  if (!machine.monitor("stop")) return false;
  const auto status = machine.monitor("info status");
  // It may have panicked just before: then it stays as it is.
  return status && status->find("paused") != std::string::npos &&
         status->find("panicked") == std::string::npos;
}

}  // namespace

std::vector<std::string> vcpu_places(std::string_view registers,
                                     const std::function<std::string(std::uint64_t)>& place) {
  constexpr std::string_view kHead = "CPU#";
  std::vector<std::string> out;
  std::size_t at = registers.find(kHead);
  while (at != std::string_view::npos) {
    const std::size_t next = registers.find(kHead, at + 1);
    const std::string_view one = registers.substr(at, next - at);
    at = next;
    const auto rip = address_of(value_of(one, "RIP="));
    if (!rip) continue;
    std::string where = *rip < kKernelHalf ? "user mode" : place(*rip);
    if (where.empty()) where = fmt::format("{:#x}", *rip);
    out.push_back(fmt::format("vCPU {} in {}{}", value_of(one, kHead), where,
                              value_of(one, "HLT=") == "1" ? ", halted" : ""));
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
  const bool stopped = !crashed && stop(machine);
  take_registers(machine);
  if (plan_.dump) take_dump(machine);
  if (!stopped) return true;
  if (auto runs = machine.monitor("cont"); !runs) {
    lines_.push_back("the guest could not be resumed: " + runs.error().message);
  }
  return true;
}

}  // namespace mmquake
