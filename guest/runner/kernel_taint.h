// SPDX-License-Identifier: GPL-2.0-or-later
//
// Has the kernel complained? A WARNING or an Oops marks the kernel as tainted, and most of them
// print only once a boot, so that a trial has nothing more to find behind it.
#pragma once

#include <cstdint>
#include <string>

namespace mmquake {

// The bits of /proc/sys/kernel/tainted that stand for a report: bad page, oops, warning, soft
// lockup (Documentation/admin-guide/tainted-kernels.rst). 0 if the file cannot be read.
std::uint64_t kernel_complaints(const std::string& file = "/proc/sys/kernel/tainted");

}  // namespace mmquake
