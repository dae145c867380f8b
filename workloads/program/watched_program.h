// SPDX-License-Identifier: GPL-2.0-or-later
//
// One run of a program under the oracle that needs nothing of it: its tasks. A task that does not
// run for `stuck` hangs if it waits for the memory manager (a page fault, a system call that has to
// end by itself) and not for something that a program may wait for as long as it likes
// (waits_by_design()); and once all have been killed, whoever still waits hangs.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "guest/program/program.h"
#include "guest/program/stuck_watch.h"
#include "guest/protocol/records.h"
#include "guest/runner/workload.h"

namespace mmquake {

class WatchedProgram {
 public:
  enum class End {
    kByItself,  // status() says how
    kByLimit,   // its time or the trial's was over
    kHung       // finding() says where
  };

  // To be scaled; less than the runner waits for a role that ignores stopping().
  static constexpr std::chrono::seconds kStuck{5};
  WatchedProgram(Program program, std::chrono::nanoseconds stuck)
      : program_(std::move(program)), stuck_(stuck) {}

  // Until one of the ends, and for at most `limit` if there is one. Nobody is left afterwards,
  // unless somebody does not even die, which is a hang.
  End run(RoleContext& context, std::optional<std::chrono::nanoseconds> limit);

  Program& program() { return program_; }
  int status() const { return program_.status().value_or(0); }
  const std::optional<FindingRecord>& finding() const { return finding_; }
  // Stacks of the tasks that there were when the limit came; empty with every other end.
  const std::string& tasks_at_limit() const { return tasks_at_limit_; }

  // What is known of the program, as a finding's evidence.
  FindingRecord finding_of(const char* kind, std::string title) const;

 private:
  End watch(RoleContext& context, std::optional<std::chrono::nanoseconds> limit);
  bool end_all(RoleContext& context);
  void report_hang(const std::string& title, const std::vector<Task>& stuck);

  Program program_;
  std::chrono::nanoseconds stuck_;
  std::optional<FindingRecord> finding_;
  std::string tasks_at_limit_;
};

// In set_up() of who runs programs: their orphans become this process's children, and busybox's
// commands have their usual names in /bin, if the image has it: a script wants them.
Result<> prepare_for_programs();

}  // namespace mmquake
