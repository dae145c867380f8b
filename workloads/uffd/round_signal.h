// SPDX-License-Identifier: GPL-2.0-or-later
//
// One step of a round that other roles wait for: "the page is prepared", "the waiter was woken".
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "guest/runner/workload.h"

namespace mmquake {

// Announced at most once a round; rounds only grow, so nothing has to be reset between them.
class RoundSignal {
 public:
  using Clock = std::chrono::steady_clock;

  void announce(std::uint64_t round) {
    {
      const std::lock_guard lock(mutex_);
      at_ = Clock::now();
      round_.store(round + 1, std::memory_order_release);
    }
    changed_.notify_all();
  }

  bool announced(std::uint64_t round) const {
    return round_.load(std::memory_order_acquire) == round + 1;
  }

  // False: the runner ends the round before the signal came.
  bool await(const RoleContext& context) {
    std::unique_lock lock(mutex_);
    while (!announced(context.round())) {
      if (context.stopping()) {
        return false;
      }
      // Nobody notifies when the runner stops the round: look again now and then.
      changed_.wait_for(lock, std::chrono::milliseconds(5));
    }
    return true;
  }

  // The same for a bystander with a deadline.
  bool await_until(std::uint64_t round, Clock::time_point deadline) {
    std::unique_lock lock(mutex_);
    return changed_.wait_until(lock, deadline, [&] { return announced(round); });
  }

  // When it was announced last.
  Clock::time_point at() const {
    const std::lock_guard lock(mutex_);
    return at_;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  Clock::time_point at_{};
  std::atomic<std::uint64_t> round_{0};  // the round's number plus one; 0: never
};

}  // namespace mmquake
