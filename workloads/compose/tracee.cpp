// SPDX-License-Identifier: GPL-2.0-or-later
#include "workloads/compose/tracee.h"

#include <sys/ptrace.h>
#include <sys/wait.h>

#include <cerrno>
#include <utility>

namespace mmquake {
namespace {

constexpr int kEventShift = 16;

}  // namespace

std::optional<Tracee> Tracee::stop(pid_t thread) {
  // PTRACE_ATTACH would send a SIGSTOP to all of the process.
  if (ptrace(PTRACE_SEIZE, thread, nullptr, nullptr) != 0) {
    return std::nullopt;
  }
  int status = 0;
  pid_t waited = -1;
  if (ptrace(PTRACE_INTERRUPT, thread, nullptr, nullptr) == 0) {
    do {
      waited = waitpid(thread, &status, __WALL);
    } while (waited < 0 && errno == EINTR);
  }
  if (waited != thread || !WIFSTOPPED(status)) {
    return std::nullopt;  // it has ended, and with it the tracing
  }
  return Tracee(thread, status >> kEventShift == PTRACE_EVENT_STOP ? 0 : WSTOPSIG(status));
}

Tracee::Tracee(Tracee&& other) noexcept
    : thread_(std::exchange(other.thread_, 0)), signal_(other.signal_) {}

Tracee::~Tracee() {
  if (thread_ != 0) {
    ptrace(PTRACE_DETACH, thread_, nullptr, static_cast<std::intptr_t>(signal_));
  }
}

std::optional<std::uint64_t> Tracee::peek(const void* at) const {
  errno = 0;
  const long word = ptrace(PTRACE_PEEKDATA, thread_, at, nullptr);
  return errno == 0 ? std::optional(static_cast<std::uint64_t>(word)) : std::nullopt;
}

bool Tracee::poke(void* at, std::uint64_t word) const {
  return ptrace(PTRACE_POKEDATA, thread_, at, word) == 0;
}

}  // namespace mmquake
