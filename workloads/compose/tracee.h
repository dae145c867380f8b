// SPDX-License-Identifier: GPL-2.0-or-later
//
// A thread of another process, stopped by ptrace(2), and its memory.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>

namespace mmquake {

// Stopped while this lives. All calls come from the thread that stopped it, as ptrace wants it; a
// signal that arrives meanwhile is delivered afterwards.
class Tracee {
 public:
  // nullopt: it is gone, or somebody else traces it. Waits until the thread leaves the kernel.
  static std::optional<Tracee> stop(pid_t thread);
  Tracee(Tracee&& other) noexcept;
  Tracee& operator=(Tracee&&) = delete;
  Tracee(const Tracee&) = delete;
  Tracee& operator=(const Tracee&) = delete;
  ~Tracee();

  // PTRACE_PEEKDATA and PTRACE_POKEDATA of an aligned word. nullopt, false: the kernel refused.
  std::optional<std::uint64_t> peek(const void* at) const;
  bool poke(void* at, std::uint64_t word) const;

 private:
  Tracee(pid_t thread, int signal) : thread_(thread), signal_(signal) {}
  pid_t thread_;
  int signal_;  // that it was stopped by, 0: none
};

}  // namespace mmquake
