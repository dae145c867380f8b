// SPDX-License-Identifier: GPL-2.0-or-later
//
// A trial whose guest waits for gdb.
#pragma once

#include <string>
#include <vector>

#include "host/cli/session.h"

namespace mmquake {

struct DebugOptions {
  bool wanted = false;
  bool print_only = false;            // say how to start gdb, and wait
  std::vector<std::string> commands;  // gdb runs these and ends
};

// The words that start gdb on the kernel, with its sources, and connect it to the guest.
std::vector<std::string> gdb_words(const KernelDebugFiles& files,
                                   const std::filesystem::path& socket,
                                   const std::vector<std::string>& commands);

// Boots the VM, which does not run before gdb says so, and gives the terminal to gdb. The VM ends
// with gdb. There is no verdict: 0, or 3 when gdb failed.
int debug_trial(Session& session, TrialPlan plan, const std::string& kernel,
                const DebugOptions& options);

}  // namespace mmquake
