// SPDX-License-Identifier: GPL-2.0-or-later
//
// `mmquake bisect`, `mmquake bisect-run` and `mmquake patch`.
#pragma once

#include "host/cli/session.h"

namespace CLI {
class App;
}

namespace mmquake {

// Each adds its command to the program. `common` and `code` outlive `app`'s parse.
void add_bisect_command(CLI::App& app, CommonOptions& common, int& code);
void add_bisect_run_command(CLI::App& app, CommonOptions& common, int& code);
void add_patch_command(CLI::App& app, CommonOptions& common, int& code);

// What bisect-run ends with when it has no verdict. `git bisect run` takes any lower code for one.
inline constexpr int kExitStopsGitBisect = 128;

}  // namespace mmquake
