// SPDX-License-Identifier: GPL-2.0-or-later
//
// What PID 1 does to the system: mounts, kernel settings, the widener module, power-off.
#pragma once

#include <string>

#include "guest/protocol/records.h"

namespace mmquake {

void mount_file_systems();

// A line on the kernel's console.
void say(const std::string& text);

// Settings that hold for every trial.
void set_kernel_defaults();

// The kernel's own detectors, ordered and scaled: RCU stall, then soft lockup, then hung task.
void set_detectors(double slowdown);

// The error says whether the file is missing or the kernel refused it.
Result<> load_module(const std::string& path);

Hello describe_system(double uptime_s);

[[noreturn]] void power_off();

}  // namespace mmquake
