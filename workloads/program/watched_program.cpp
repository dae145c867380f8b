// SPDX-License-Identifier: GPL-2.0-or-later
#include "workloads/program/watched_program.h"

#include <fmt/core.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "guest/program/task_tree.h"
#include "guest/runner/evidence.h"

namespace mmquake {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr const char* kBusybox = "/bin/busybox";
constexpr milliseconds kLook{50};
constexpr std::size_t kShownTasks = 8;

std::string describe_task(const Task& task, const TaskEvidence& seen) {
  return fmt::format("pid {}, tid {}, state {}, syscall {}{}\n", task.pid, task.tid, task.state,
                     task.syscall, seen.stack);
}

std::string describe_tasks(const std::vector<Task>& tasks) {
  std::string out;
  for (std::size_t i = 0; i < std::min(tasks.size(), kShownTasks); ++i) {
    out += describe_task(tasks[i], take_evidence(tasks[i].pid, tasks[i].tid));
  }
  return out;
}

}  // namespace

WatchedProgram::End WatchedProgram::run(RoleContext& context,
                                        std::optional<std::chrono::nanoseconds> limit) {
  const End end = watch(context, limit);
  if (!end_all(context)) {
    return End::kHung;
  }
  program_.poll(milliseconds(0));  // its last words
  return end;
}

WatchedProgram::End WatchedProgram::watch(RoleContext& context,
                                          std::optional<std::chrono::nanoseconds> limit) {
  StuckWatch stuck(stuck_);
  const Clock::time_point start = Clock::now();
  for (;;) {
    program_.poll(kLook);
    context.step();
    const std::vector<Task> tasks = tasks_of(descendants_of(getpid()));
    const std::vector<Task> hung = stuck.feed(tasks, Clock::now());
    if (!hung.empty()) {
      report_hang("hang in ", hung);
      return End::kHung;
    }
    const bool late = (limit && Clock::now() - start >= *limit) || context.stopping();
    // Who may be about to hang is not helped by a SIGKILL before that is known.
    if (stuck.has_suspects()) {
      continue;
    }
    if (program_.status()) {
      return End::kByItself;
    }
    if (late) {
      tasks_at_limit_ = describe_tasks(tasks);
      return End::kByLimit;
    }
  }
}

// False: somebody does not even die.
bool WatchedProgram::end_all(RoleContext& context) {
  StuckWatch undead(stuck_);
  undead.count_every_wait();
  for (;;) {
    const std::vector<int> left = descendants_of(getpid());
    if (left.empty()) {
      return true;
    }
    Program::kill_all();
    program_.poll(milliseconds(10));
    context.step();
    const std::vector<Task> hung = undead.feed(tasks_of(left), Clock::now());
    if (!hung.empty()) {
      report_hang("killed, but hangs in ", hung);
      return false;
    }
  }
}

FindingRecord WatchedProgram::finding_of(const char* kind, std::string title) const {
  FindingRecord finding;
  finding.kind = kind;
  finding.role = "program";
  finding.title = std::move(title);
  finding.evidence["output"] = program_.output();
  return finding;
}

void WatchedProgram::report_hang(const std::string& title, const std::vector<Task>& stuck) {
  if (finding_) {
    return;  // the first one says more
  }
  const TaskEvidence seen = take_evidence(stuck[0].pid, stuck[0].tid);
  FindingRecord finding = finding_of("hang", title + blamed_function(seen.stack, seen.wchan));
  finding.evidence.insert({{"stack", seen.stack},
                           {"wchan", seen.wchan},
                           {"status", seen.status},
                           {"syscall", seen.syscall},
                           {"tasks", describe_tasks(stuck)}});
  finding_ = std::move(finding);
}

Result<> prepare_for_programs() {
  if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) {
    return broken("PR_SET_CHILD_SUBREAPER is refused");
  }
  if (access(kBusybox, X_OK) != 0) {
    return {};
  }
  auto program = Program::start({kBusybox, "--install", "-s", "/bin"}, {});
  if (!program) {
    return tl::make_unexpected(program.error());
  }
  while (!program->status()) {
    program->poll(kLook);
  }
  return *program->status() == 0
             ? Result<>()
             : Result<>(broken("busybox --install " + describe_status(*program->status())));
}

}  // namespace mmquake
