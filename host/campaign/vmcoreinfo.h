// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <filesystem>
#include <string>

#include "guest/protocol/result.h"

namespace mmquake {

// What a reader of a dump has to know to find its way from virtual addresses to pages.
struct DumpedKernel {
  std::string release;            // uname -r
  std::filesystem::path vmlinux;  // where the kernel was linked to run, and ran (nokaslr)
  bool five_levels = false;       // of page tables
};

// Adds to a kdump file the note that a kernel with CONFIG_VMCORE_INFO and CONFIG_FW_CFG_SYSFS would
// have handed to QEMU, and the names of its system. drgn opens no dump without; crash asks vmlinux.
Result<> add_vmcoreinfo(const std::filesystem::path& vmcore, const DumpedKernel& kernel);

}  // namespace mmquake
