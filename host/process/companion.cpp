// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/process/companion.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "host/process/spawn.h"

namespace mmquake {

Result<Companion> Companion::start(const std::vector<std::string>& argv) {
  if (argv.empty()) return broken("start a companion process: no program given");
  int ends[2] = {-1, -1};
  if (pipe2(ends, O_CLOEXEC) != 0) {
    return broken("start '" + argv[0] + "': no pipe: " + std::strerror(errno));
  }
  pid_t pid = -1;
  const int error = spawn(argv, {.stdin_fd = ends[0], .new_session = true}, &pid);
  close(ends[0]);
  if (error != 0) {
    close(ends[1]);
    return broken("start '" + argv[0] + "': " + std::strerror(error));
  }
  return Companion(pid, ends[1]);
}

Companion::Companion(Companion&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), pipe_(std::exchange(other.pipe_, -1)) {}

Companion& Companion::operator=(Companion&& other) noexcept {
  std::swap(pid_, other.pid_);
  std::swap(pipe_, other.pipe_);
  return *this;
}

Companion::~Companion() {
  if (pipe_ >= 0) close(pipe_);
  if (pid_ < 0) return;
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

}  // namespace mmquake
