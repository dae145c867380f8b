// SPDX-License-Identifier: GPL-2.0-or-later
//
// Which tasks have not run for long, though nothing that they did allows it. Pure.
#pragma once

#include <chrono>
#include <map>
#include <utility>
#include <vector>

#include "guest/program/task_tree.h"

namespace mmquake {

class StuckWatch {
 public:
  using Time = std::chrono::steady_clock::time_point;

  explicit StuckWatch(std::chrono::nanoseconds limit) : limit_(limit) {}

  // From now on a task that only waits counts too: all of them have been killed.
  void count_every_wait() { every_wait_ = true; }
  // What all tasks do now. Gives those that have been waiting for `limit` in one go.
  std::vector<Task> feed(const std::vector<Task>& tasks, Time now);
  // Some wait like that, for less than `limit` so far.
  bool has_suspects() const { return !since_.empty(); }

 private:
  struct Wait {
    std::uint64_t switches = 0;
    Time since;
  };
  std::chrono::nanoseconds limit_;
  bool every_wait_ = false;
  std::map<std::pair<int, int>, Wait> since_;  // by pid and tid
};

}  // namespace mmquake
