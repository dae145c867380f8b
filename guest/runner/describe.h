// SPDX-License-Identifier: GPL-2.0-or-later
//
// `mmquake-guest --describe`: every workload's declaration as JSON, for the host's list and
// its validation of parameters.
#pragma once

#include <string>

#include "guest/runner/workload.h"

namespace mmquake {

// {"protocol": N, "workloads": [{"name", "summary", "exercises", "needs", "params"}]}
std::string describe(const Registry& registry);

}  // namespace mmquake
