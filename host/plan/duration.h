// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>
#include <string_view>

#include "guest/protocol/result.h"

namespace mmquake {

// "8h", "1h30m", "90s", "2d" to seconds; whole numbers with a unit each, the larger unit first,
// each unit once. From 1 s to 366 days, else a usage error that says what is taken: a number
// alone is refused, since nobody can know what was meant.
Result<double> parse_duration(std::string_view text);

// "45s", "12m30s", "7h05m", "3d02h": two units at most, seconds rounded down.
std::string duration_text(double seconds);

}  // namespace mmquake
