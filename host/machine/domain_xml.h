// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <filesystem>
#include <string>

#include "guest/protocol/result.h"
#include "host/machine/machine.h"

namespace mmquake {

// The name that the guest finds its record port by (/sys/class/virtio-ports/*/name).
inline constexpr const char* kRecordPort = "mmquake.records";

// Where QEMU's ends of a VM are on the host. The socket paths hold at most 107 bytes.
struct DomainPaths {
  std::filesystem::path console;        // ttyS0 is written here
  std::filesystem::path serial_socket;  // ttyS1, bound by QEMU
  std::filesystem::path virtio_socket;  // the virtio-serial port, bound by QEMU
};

// The kernel's command line: console, panic and address layout, then the machine's arguments,
// then the request's (so the last one wins).
std::string kernel_command_line(const BootRequest& request);

// libvirt's XML for one boot: q35, direct kernel boot, NUMA cells with distances, the console, the
// machine's devices, no network and no disk. The error is kUsage when the request cannot be told
// to libvirt (a path or command line that is too long, no CPU, no record channel, a malformed
// distance table).
// `uuid` tells the VM from another of the same name; empty: libvirt draws one.
Result<std::string> domain_xml(const BootRequest& request, const DomainPaths& paths,
                               const std::string& uuid = "");

}  // namespace mmquake
