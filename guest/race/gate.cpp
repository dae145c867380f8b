// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/race/gate.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>
#include <ctime>
#include <optional>

namespace mmquake {
namespace {

// The futex is not private: waiters may sit in other processes.
void futex_wake_all(std::atomic<std::uint32_t>& word) {
  syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

// Sleeps while `word` is `value`. Returns early on a signal: callers look again.
void futex_wait(std::atomic<std::uint32_t>& word, std::uint32_t value,
                std::optional<Deadline> deadline) {
  timespec until{};
  if (deadline) {
    const auto ns =
        std::chrono::duration_cast<std::chrono::nanoseconds>(deadline->time_since_epoch()).count();
    until.tv_sec = ns / 1'000'000'000;
    until.tv_nsec = ns % 1'000'000'000;
  }
  // WAIT_BITSET takes an absolute CLOCK_MONOTONIC time, which is what steady_clock counts.
  syscall(SYS_futex, &word, FUTEX_WAIT_BITSET, value, deadline ? &until : nullptr, nullptr,
          FUTEX_BITSET_MATCH_ANY);
}

}  // namespace

void RoundGate::open() {
  awaited_.store(UINT32_MAX);
  arrived_.store(0);
  generation_.fetch_add(1);
  futex_wake_all(generation_);
}

bool RoundGate::wait_arrivals(std::uint32_t parties, Deadline deadline) {
  // arrive() adds first and looks at awaited_ second; here it is the other way round, so that
  // one of the two sides always sees the other.
  awaited_.store(parties);
  for (;;) {
    const std::uint32_t now = arrived_.load();
    if (now >= parties) {
      return true;
    }
    if (std::chrono::steady_clock::now() >= deadline) {
      return false;
    }
    futex_wait(arrived_, now, deadline);
  }
}

void RoundGate::close() {
  awaited_.store(UINT32_MAX);
  arrived_.store(0);
  closed_.store(1);
  generation_.fetch_add(1);
  futex_wake_all(generation_);
}

bool RoundGate::pass(std::uint32_t& seen) {
  for (;;) {
    const std::uint32_t now = generation_.load();
    if (closed_.load() != 0) {
      return false;
    }
    if (now != seen) {
      seen = now;
      return true;
    }
    futex_wait(generation_, now, std::nullopt);
  }
}

void RoundGate::arrive() {
  if (arrived_.fetch_add(1) + 1 >= awaited_.load()) {
    futex_wake_all(arrived_);
  }
}

}  // namespace mmquake
