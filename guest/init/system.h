// SPDX-License-Identifier: GPL-2.0-or-later
//
// What PID 1 does to the system: mounts, kernel settings, modules, power-off.
#pragma once

#include <string>
#include <vector>

#include "guest/protocol/records.h"

namespace mmquake {

void mount_file_systems();

// A line on the kernel's console.
void say(const std::string& text);

// Settings that hold for every trial.
void set_kernel_defaults();

// The kernel's own detectors, ordered and scaled: RCU stall, then soft lockup, then hung task.
void set_detectors(double slowdown);

// After a trial: ends its processes, takes back what it set, and gives memory back to the kernel.
// False: a process does not end. Every wait is bounded and scaled.
bool settle_machine(double slowdown);

// The error says whether the file is missing or the kernel refused it.
Result<> load_module(const std::string& path);

// Loads every module in `folder` in the order of their names, and says on the console which the
// kernel refused. Returns those of a machine that should have them: "brd (Invalid argument)".
std::vector<std::string> load_modules(const std::string& folder);

Hello describe_system(double uptime_s);

[[noreturn]] void power_off();

}  // namespace mmquake
