// SPDX-License-Identifier: GPL-2.0-or-later
//
// Two threads of one process that meet again and again within a round: before an attempt, so that
// both start together, and after it, so that one of them can look at what came of it.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "guest/race/overlap_tuner.h"

namespace mmquake {

class PairGate {
 public:
  // Waits for the other one. False: it has left, or `stopping` became true first; then the caller
  // has left as well.
  template <typename Stopping>
  bool meet(Stopping stopping) {
    std::unique_lock lock(mutex_);
    if (left_) {
      return false;
    }
    if (waiting_) {
      waiting_ = false;
      ++meeting_;
      met_at_ns_ = now_ns();
      changed_.notify_all();
      return true;
    }
    const std::uint64_t mine = meeting_;
    waiting_ = true;
    while (mine == meeting_) {
      if (left_ || stopping()) {
        left_ = true;
        waiting_ = false;
        changed_.notify_all();
        return false;
      }
      // Nobody notifies when the runner stops the round: look again now and then.
      changed_.wait_for(lock, std::chrono::milliseconds(5));
    }
    return true;
  }

  // No more meetings until reset().
  void leave() {
    const std::lock_guard lock(mutex_);
    left_ = true;
    changed_.notify_all();
  }

  // Between rounds, when nobody is inside.
  void reset() {
    const std::lock_guard lock(mutex_);
    left_ = waiting_ = false;
  }

  // When the last meeting took place: the same for both.
  std::int64_t met_at_ns() const {
    const std::lock_guard lock(mutex_);
    return met_at_ns_;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool waiting_ = false;
  bool left_ = false;
  std::uint64_t meeting_ = 0;
  std::int64_t met_at_ns_ = 0;
};

}  // namespace mmquake
