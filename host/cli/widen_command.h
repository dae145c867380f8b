// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <CLI/CLI.hpp>

#include "host/cli/session.h"

namespace mmquake {

// `mmquake widen search CASE`: where does a delay make the case's bug show more often? Samples the
// stacks of the racing sides, tries sites along them (search_sites()), and measures the best of
// them beside none. `code`: 0 it finds more often than none, 1 it does not, 2 to 4 as ever.
void add_widen_command(CLI::App& app, CommonOptions& common, int& code);

}  // namespace mmquake
