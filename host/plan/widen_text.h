// SPDX-License-Identifier: GPL-2.0-or-later
//
// A widener site as one word, for command lines and campaigns.
#pragma once

#include <string>

#include "guest/protocol/records.h"
#include "guest/protocol/result.h"

namespace mmquake {

// SITE[:MIN-MAX][:p=PROBABILITY][:comm=NAME][:spin][:may-miss], times in microseconds.
Result<WidenSite> parse_widen(const std::string& text);
// What parse_widen() makes the same site of.
std::string widen_text(const WidenSite& site);

}  // namespace mmquake
