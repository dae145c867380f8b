// SPDX-License-Identifier: GPL-2.0-or-later
//
// posix_spawn(3) with what Boost.Process does not have: it closes all descriptors, resets signals
// and begins a session.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

namespace mmquake {

struct SpawnOptions {
  // Its stdin; then its stdout and stderr are /dev/null. Without it the three are ours.
  std::optional<int> stdin_fd = std::nullopt;
  bool new_session = false;
  bool default_interrupts = false;  // SIGINT and SIGPIPE do what they do in a new program
};

// Starts argv[0], which is looked up in PATH if it has no slash. It has no other descriptors and an
// empty signal mask. 0 and *pid, or errno.
int spawn(const std::vector<std::string>& argv, const SpawnOptions& options, pid_t* pid);

}  // namespace mmquake
