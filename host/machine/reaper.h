// SPDX-License-Identifier: GPL-2.0-or-later
//
// Ends the VMs of an orchestrator that was killed. The reaper is a second process of the same
// program, started before the first VM; it learns of the end by end of file on its stdin.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "guest/protocol/result.h"
#include "host/process/companion.h"

namespace mmquake {

// Starts this program again as the reaper of `root`.
Result<Companion> start_reaper(const std::filesystem::path& root);

// The reaper's whole life: `PROGRAM vm-reaper ROOT`. Programs need not call it: a static
// initialiser beside start_reaper() does, before main().
int vm_reaper_main(const std::string& root);

// Sends SIGKILL to every QEMU whose arguments name a path below `root`, and to nothing else.
// Returns how many were still alive.
int kill_vms_of(const std::filesystem::path& root);

// Ends the VMs and removes the roots of owners (and their reapers) that have been killed.
void sweep_stale_roots(const std::vector<std::filesystem::path>& parents);

}  // namespace mmquake
