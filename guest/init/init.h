// SPDX-License-Identifier: GPL-2.0-or-later
//
// PID 1 of a guest: one plan, one trial, power-off.
#pragma once

#include "guest/runner/workload.h"

namespace mmquake {

[[noreturn]] void run_init(const Registry& registry);

}  // namespace mmquake
