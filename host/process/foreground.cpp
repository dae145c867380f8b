// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/process/foreground.h"

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "host/process/spawn.h"

namespace mmquake {
namespace {

constexpr int kTickMs = 200;
// From SIGTERM to SIGKILL.
constexpr std::chrono::seconds kPatience(3);

}  // namespace

Result<Foreground> Foreground::start(const std::vector<std::string>& argv) {
  if (argv.empty()) return broken("start a program: none given");
  struct sigaction ignore = {};
  ignore.sa_handler = SIG_IGN;
  struct sigaction before = {};
  sigaction(SIGINT, &ignore, &before);
  pid_t pid = -1;
  const int error = spawn(argv, {.default_interrupts = true}, &pid);
  if (error == 0) return Foreground(pid, before);
  sigaction(SIGINT, &before, nullptr);
  if (error == ENOENT) return broken("'" + argv[0] + "' is not installed (not found in PATH)");
  return broken("start '" + argv[0] + "': " + std::strerror(error));
}

Foreground::Foreground(Foreground&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), code_(other.code_), before_(other.before_) {}

Foreground::~Foreground() {
  if (pid_ < 0) return;
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  if (!poll()) kill(pid_, SIGTERM);
  wait([&] { return std::chrono::steady_clock::now() > deadline; });
  if (!poll()) {
    kill(pid_, SIGKILL);
    wait({});
  }
  sigaction(SIGINT, &before_, nullptr);
}

std::optional<int> Foreground::poll() {
  int status = 0;
  if (!code_ && waitpid(pid_, &status, WNOHANG) == pid_) {
    code_ = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }
  return code_;
}

std::optional<int> Foreground::wait(const std::function<bool()>& should_stop) {
  while (!poll() && !(should_stop && should_stop())) ::poll(nullptr, 0, kTickMs);
  return code_;
}

}  // namespace mmquake
