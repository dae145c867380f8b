// SPDX-License-Identifier: GPL-2.0-or-later
//
// A campaign as text and JSON, from what the store holds. Whatever a guest said is escaped.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "host/campaign/soak.h"
#include "host/store/store.h"

namespace mmquake {

// One line without its end: "   12  smaps-ignores-migration on clean  passed  20 s, 463 rounds".
// `colour` adds ANSI colours.
std::string soak_trial_line(const StoredTrial& trial, bool colour);

// One line, what matters most first: a terminal cuts it.
std::string soak_status_line(const SoakStatus& status);

// Distinct findings with counts and first trial, each kernel with its bound, what broke, what was
// skipped. Only trials that have ended count.
std::string soak_summary(const StoredCampaign& campaign, const std::vector<StoredTrial>& trials);
nlohmann::json soak_json(const StoredCampaign& campaign, const std::vector<StoredTrial>& trials);

// What the soak as a whole has come to, for the exit code: found before broken; passed when at
// least one trial passed and none broke; skipped when all were.
Outcome soak_outcome(const std::vector<StoredTrial>& trials);

}  // namespace mmquake
