// SPDX-License-Identifier: GPL-2.0-or-later
//
// `mmquake bisect`.
#pragma once

#include "host/cli/session.h"

namespace CLI {
class App;
}

namespace mmquake {

// Adds the command to the program. `common` and `code` outlive `app`'s parse.
void add_bisect_command(CLI::App& app, CommonOptions& common, int& code);

}  // namespace mmquake
