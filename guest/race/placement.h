// SPDX-License-Identifier: GPL-2.0-or-later
//
// Where and when the calling thread runs: CPU, priority, delays.
#pragma once

#include <chrono>

#include "guest/protocol/result.h"

namespace mmquake {

// Pins the calling thread to one CPU (the kernel's number).
Result<> pin_to_cpu(int cpu);

// Gives the calling thread SCHED_FIFO with `priority` from 1 to 99; 0 goes back to SCHED_OTHER.
Result<> set_fifo_priority(int priority);

// Delays the caller by `time`. Short delays yield instead of sleeping, since a sleep has a
// floor of about 50 us; long ones sleep.
void delay(std::chrono::nanoseconds time);

}  // namespace mmquake
