// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <csignal>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "guest/protocol/result.h"

namespace mmquake {

// A program that has the terminal: our stdin, stdout and stderr are its own, and Ctrl-C is its
// affair and not ours until the object goes. One at a time.
class Foreground {
 public:
  // argv[0] is looked up in PATH.
  static Result<Foreground> start(const std::vector<std::string>& argv);
  Foreground(Foreground&& other) noexcept;
  Foreground& operator=(Foreground&&) = delete;
  Foreground(const Foreground&) = delete;
  Foreground& operator=(const Foreground&) = delete;
  // Ends it, if it still runs.
  ~Foreground();

  // Its exit code (128 + the signal that ended it) once it has ended.
  std::optional<int> poll();
  // Until it has ended, or `should_stop`, which is asked every 200 ms.
  std::optional<int> wait(const std::function<bool()>& should_stop);

 private:
  explicit Foreground(pid_t pid, const struct sigaction& before) : pid_(pid), before_(before) {}

  pid_t pid_ = -1;
  std::optional<int> code_;
  struct sigaction before_ = {};  // what Ctrl-C did
};

}  // namespace mmquake
