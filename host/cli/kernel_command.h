// SPDX-License-Identifier: GPL-2.0-or-later
//
// `mmquake kernel build|list|show|path|gc`.
#pragma once

#include <string_view>

#include "guest/protocol/result.h"

namespace CLI {
class App;
}

namespace mmquake {

// Adds the command to the program. `json` and `code` outlive `app`'s parse.
void add_kernel_command(CLI::App& app, bool& json, int& code);

// For a command that allows extras: it got none of its own commands, which are each a `kind`. Names
// what was not understood, and them.
Error wrong_action(const CLI::App& command, std::string_view kind);

}  // namespace mmquake
