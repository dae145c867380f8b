// SPDX-License-Identifier: GPL-2.0-or-later
//
// Patches, as `diff -u` and git write them, with one leading folder in each name (-p1).
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "guest/protocol/result.h"
#include "host/kernel/reporter.h"

namespace mmquake::kernel {

struct Patch {
  std::filesystem::path file;  // where it was read
  std::string text;
};

// Every file that the patch reads, writes, makes or removes, without the leading folder, sorted.
// Usage error when it is no patch or reaches out of the tree.
Result<std::vector<std::string>> files_of(const Patch& patch);

// Applies it to the files below `folder`, exactly: no fuzz. The error names patch, file and hunk,
// and is of the kind kSkipped where the files are not what the patch is for; `folder` is then in
// any state.
Result<> apply(const Patch& patch, const std::filesystem::path& folder, Reporter& reporter);

// What went wrong, from the output of patch(1): "hunk 2 (line 105) of mm/rmap.c does not apply".
std::string explain_failure(std::string_view output);

}  // namespace mmquake::kernel
