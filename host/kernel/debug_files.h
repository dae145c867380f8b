// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a debugger needs beside an artifact, in CACHE/debug/KEY.RECIPE: source/, vmlinux,
// vmlinux-gdb.py and scripts/gdb/.
//
// An artifact's vmlinux has line tables and inlines, but no types, without which crash does not
// start. To compile the kernel once more with all of them takes as long as the kernel itself. But a
// type is the same in every object that knows it, so one file that includes the kernel's headers
// has those that matter; its debug information is put behind that of vmlinux, whose code stays as
// it is.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "guest/protocol/result.h"
#include "host/kernel/kbuild.h"
#include "host/kernel/kernel_store.h"
#include "host/kernel/reporter.h"

namespace mmquake::kernel {

std::filesystem::path debug_folder(const std::filesystem::path& cache, const std::string& key);

// What is in such a folder, if it is whole.
std::optional<KernelDebugFiles> read_debug_files(const std::filesystem::path& dir);

// Compiles a file to all types and variables that it declares, used or not.
inline constexpr const char* kTypeFlags =
    "-g -femit-struct-debug-detailed=any -fno-eliminate-unused-debug-types "
    "-fno-eliminate-unused-debug-symbols";

// The file that is compiled so, `types`, and what of the kernel's headers it needs in another form.
Result<std::vector<ModuleFile>> type_files(const std::filesystem::path& types,
                                           const std::filesystem::path& source);

struct DebugParts {
  std::filesystem::path vmlinux;     // the artifact's
  std::filesystem::path source;      // the tree that it was compiled from
  std::filesystem::path types;       // an object, for its debug information
  std::filesystem::path gdb_script;  // vmlinux-gdb.py, with scripts/gdb beside it; may be empty
};

// Puts together what a debugger needs, by one rename.
Result<> keep_debug_files(const DebugParts& parts, const std::filesystem::path& dir,
                          Reporter& reporter);

}  // namespace mmquake::kernel
