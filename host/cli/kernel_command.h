// SPDX-License-Identifier: GPL-2.0-or-later
//
// `mmquake kernel build|list|show|path|gc`.
#pragma once

namespace CLI {
class App;
}

namespace mmquake {

// Adds the command to the program. `json` and `code` outlive `app`'s parse.
void add_kernel_command(CLI::App& app, bool& json, int& code);

}  // namespace mmquake
