// SPDX-License-Identifier: GPL-2.0-or-later
//
// The plan's parameters against a workload's declaration.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "guest/runner/workload.h"

namespace mmquake {

using ParamValues = std::map<std::string, std::string>;

// Every declared parameter with its value or default. The error names the parameter and what
// it may be.
Result<ParamValues> resolve_params(const WorkloadInfo& info, const ParamValues& given);

}  // namespace mmquake
