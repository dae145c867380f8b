// SPDX-License-Identifier: GPL-2.0-or-later
//
// The switches of a specimen kernel that put known bugs back, as its debugfs shows them.
#pragma once

#include <string>
#include <string_view>

#include "guest/protocol/records.h"

namespace mmquake {

// "bug-hits/NAME" for each switch that is on: how often the bug changed what the kernel did.
// Empty on a kernel without switches. Reads `root`/NAME/{on,hits}.
Counters bug_hits(const std::string& root = "/sys/kernel/debug/mmquake_bugs");

}  // namespace mmquake
