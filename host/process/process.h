// SPDX-License-Identifier: GPL-2.0-or-later
//
// The one place that starts child processes (Boost.Process).
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "guest/protocol/result.h"

namespace mmquake {

struct Command {
  std::vector<std::string> argv;  // argv[0] is looked up in PATH
  std::filesystem::path directory;
  std::map<std::string, std::string> environment;  // added to ours
};

struct Finished {
  int exit_code = 0;        // 128 + signal when a signal ended it
  std::string output_tail;  // the last 64 KiB of stdout and stderr together
};

// Runs to the end in a process group of its own. `on_line` gets each line of stdout and stderr
// (at most 8 KiB of it); `should_stop` is asked at least every 200 ms: true ends the whole group
// and gives an error "interrupted". A program that is not there is an error that names it; an
// exit code other than 0 is not an error.
Result<Finished> run_command(const Command& command,
                             const std::function<void(std::string_view)>& on_line = {},
                             const std::function<bool()>& should_stop = {});

}  // namespace mmquake
