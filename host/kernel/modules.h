// SPDX-License-Identifier: GPL-2.0-or-later
//
// What guests use of a kernel that has it as modules, as a distribution's kernel does.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "guest/protocol/result.h"
#include "host/kernel/reporter.h"

namespace mmquake::kernel {

// "virtio_pci" of "kernel/drivers/virtio/virtio-pci.ko.xz": modprobe takes '-' for '_', too.
std::string module_name(std::string_view path);

// Of a modules.dep (depmod(8)): the files that bring `wanted`, each after all that it depends on. A
// module that is not in there is built in, or not there at all.
std::vector<std::string> load_order(std::string_view modules_dep,
                                    const std::vector<std::string>& wanted);

// From the unpacked packages of a kernel, `files`, takes the modules that guests use, with what
// they depend on, into the folder `to`: "00-irqbypass.ko.xz", compressed as they were, numbered in
// the order in which they must be loaded.
Result<> take_modules(const std::filesystem::path& files, const std::string& release,
                      const std::filesystem::path& to, Reporter& reporter);

}  // namespace mmquake::kernel
