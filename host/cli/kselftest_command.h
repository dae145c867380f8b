// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "host/cli/commands.h"

namespace mmquake {

struct KselftestOptions {
  std::filesystem::path directory;  // a built collection; empty: it is not asked for
  std::vector<std::string> tests;   // patterns; empty: all
  bool ktap = false;                // print the results as KTAP on stdout, the rest on stderr
};

// Runs each test of the collection in a VM of its own, on one kernel and machine; `repro` has the
// rest: its seconds stand for every test's timeout. Exit code 3 when one was broken, else 1 when
// something was found, else 4 when all were skipped, else 0.
int repro_kselftest(const CommonOptions& common, const ReproOptions& repro,
                    const KselftestOptions& options);

}  // namespace mmquake
