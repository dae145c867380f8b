// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/program/stuck_watch.h"

namespace mmquake {

std::vector<Task> StuckWatch::feed(const std::vector<Task>& tasks, Time now) {
  std::map<std::pair<int, int>, Wait> next;
  std::vector<Task> stuck;
  for (const Task& task : tasks) {
    const bool waits = task.state == 'S' || task.state == 'D';
    if (every_wait_ ? !waits : waits_by_design(task)) {
      continue;
    }
    const std::pair key(task.pid, task.tid);
    const auto before = since_.find(key);
    const bool same = before != since_.end() && before->second.switches == task.switches;
    const Time since = same ? before->second.since : now;
    next[key] = {task.switches, since};
    if (now - since >= limit_) {
      stuck.push_back(task);
    }
  }
  since_ = std::move(next);
  return stuck;
}

}  // namespace mmquake
