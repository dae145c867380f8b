// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "guest/protocol/result.h"

namespace mmquake {

// `text` with control characters as \xNN: names come from command lines and files, and none of
// their escape sequences may reach a terminal. Newlines are escaped, too.
std::string printable(std::string_view text);

// Those of `known` that `name` was probably meant to be: at most three, the nearest first. Near
// is a few typing slips (a swap of two letters is one), or one name inside of the other.
std::vector<std::string> nearest(std::string_view name, const std::vector<std::string>& known);

// "; did you mean 'a' or 'b'?", or "; there are: a, b" when nothing is near, or "; there are
// none".
std::string suggestion(std::string_view name, const std::vector<std::string>& known);

// Usage error "unknown KIND 'NAME'; did you mean 'A' or 'B'? (mmquake list shows all)".
Error unknown_name(std::string_view kind, std::string_view name,
                   const std::vector<std::string>& known);

}  // namespace mmquake
