// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>
#include <vector>

#include "guest/protocol/result.h"

namespace mmquake {

// A process that lives beside us, in a session of its own, and learns that we ended, however that
// happened, by end of file on its stdin: the kernel closes our end.
class Companion {
 public:
  // argv[0] is a path. No descriptor but stdin reaches it; stdout and stderr are /dev/null.
  static Result<Companion> start(const std::vector<std::string>& argv);
  Companion(Companion&& other) noexcept;
  Companion& operator=(Companion&& other) noexcept;
  Companion(const Companion&) = delete;
  Companion& operator=(const Companion&) = delete;
  // Gives it its end of file and waits until it has ended.
  ~Companion();

  int pid() const { return pid_; }

 private:
  Companion(int pid, int pipe) : pid_(pid), pipe_(pipe) {}
  int pid_ = -1;
  int pipe_ = -1;
};

}  // namespace mmquake
