// SPDX-License-Identifier: GPL-2.0-or-later
//
// The tasks of a program that this project knows nothing of, as /proc shows them: all that descend
// from it, whatever sessions and groups they made for themselves.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mmquake {

struct Task {
  int pid = 0;
  int tid = 0;
  char state = '?';            // as in /proc/TID/stat: R, S, D, T, t, Z, X, I
  std::uint64_t switches = 0;  // voluntary and involuntary: equal at two times, it did not run
  std::string syscall;  // /proc/TID/syscall: "running", or a number and arguments; -1: in none
};

// Processes below `pid`, itself not among them. Orphans stay below it if it is a child subreaper
// (PR_SET_CHILD_SUBREAPER). One look: who forks meanwhile may be missing.
std::vector<int> descendants_of(int pid);

// Of all threads of these processes; those that end meanwhile are left out.
std::vector<Task> tasks_of(const std::vector<int>& pids);

// The parent in the text of /proc/PID/stat. Pure.
std::optional<int> parent_in(std::string_view stat);

// Does it wait for something that a program may wait for as long as it likes: a lock of its own,
// input, a child, time? Not for the memory manager: a page fault, or a system call that has to end
// by itself. Tasks that run, are stopped or have ended wait rightly too. Pure.
bool waits_by_design(const Task& task);

}  // namespace mmquake
