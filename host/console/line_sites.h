// SPDX-License-Identifier: GPL-2.0-or-later
//
// A line of the kernel's source as places in its code.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "guest/protocol/result.h"

namespace mmquake {

// Where the code of `line` begins, once for each copy that the compiler has made of it (inlined, or
// in several units from a header): "try_to_migrate_one+0x1b3", for a kprobe. `file` is a path from
// the top of the sources ("mm/rmap.c"). Sorted by address. Errors: no debug information; no such
// file; the line has no code (then the nearest ones that have some are named).
Result<std::vector<std::string>> sites_of_line(const std::filesystem::path& vmlinux,
                                               const std::string& file, int line);

}  // namespace mmquake
