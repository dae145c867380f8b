// SPDX-License-Identifier: GPL-2.0-or-later
//
// What /proc says about a task that does not move.
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace mmquake {

struct TaskEvidence {
  bool alive = false;    // the task still exists
  bool in_user = false;  // alive, and neither stack nor wchan names a kernel function
  std::string stack;     // /proc/PID/task/TID/stack; why it could not be read, in brackets
  std::string wchan;     // "0" and unreadable become empty
  std::string status;
  std::string syscall;  // number and arguments, as /proc prints them
};

TaskEvidence take_evidence(int pid, int tid);

// Runs or waits for a CPU (state R); false also for a task that is gone.
bool is_runnable(int pid, int tid);

// The topmost function of a kernel stack that is not part of the scheduler or of a sleeping
// lock, without offset and compiler suffix (".isra.0"): what is stable between runs and says
// most. Falls back to wchan; empty when neither names a function.
std::string blamed_function(std::string_view stack, std::string_view wchan);

}  // namespace mmquake
