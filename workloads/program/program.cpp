// SPDX-License-Identifier: GPL-2.0-or-later
//
// A program of the user's (mmquake repro --c, --binary, --script), run again and again under the
// oracles that need nothing of it: the kernel's log, which the host reads; its exit status; and its
// tasks. A task that does not run for kStuck hangs if it waits for the memory manager (a page
// fault, a system call that has to end by itself) and not for something that a program may wait for
// as long as it likes (waits_by_design()); and once all have been killed, whoever still waits
// hangs.
#include "guest/program/program.h"

#include <fmt/core.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "guest/program/stuck_watch.h"
#include "guest/program/task_tree.h"
#include "guest/runner/evidence.h"
#include "guest/runner/workload.h"

namespace mmquake {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr const char* kPath = "/payload/run";
constexpr const char* kBusybox = "/bin/busybox";
constexpr std::chrono::seconds kStuck{5};  // scaled; less than the runner waits for who ignores it
constexpr milliseconds kLook{50};
constexpr std::size_t kShownTasks = 8;
// Of kselftest and of automake: "cannot be tested here".
constexpr int kSkips[] = {4, 77};

class UserProgram final : public Workload {
 public:
  static WorkloadInfo info();
  Result<> set_up(Environment& env) override;
  std::vector<Role> roles() override;
  std::optional<FindingRecord> check() override { return std::exchange(finding_, std::nullopt); }
  Result<> verify_work() override;

 private:
  static Result<> install_busybox();
  void run(RoleContext& context);
  bool watch(RoleContext& context, Program& program, StuckWatch& stuck);
  bool end_all(RoleContext& context, Program& program);
  void judge_status(const Program& program);
  void report(const char* kind, std::string title, const Program& program,
              const std::vector<Task>& stuck);

  std::chrono::seconds run_limit_{};
  std::chrono::nanoseconds stuck_limit_{};
  std::uint64_t seed_ = 0;
  Counter runs_, ended_, killed_, skipped_;
  std::optional<Error> error_;
  std::optional<FindingRecord> finding_;
  std::string skip_text_;
};

WorkloadInfo UserProgram::info() {
  WorkloadInfo info;
  info.name = "program";
  info.summary = "a program of yours: see mmquake repro --c";
  info.exercises = {"what the program does"};
  info.needs.files = {kPath};
  info.params = {{"run_seconds",
                  ParamSpec::Type::kInteger,
                  "20",
                  1,
                  86400,
                  {},
                  "a run that has not ended by then is ended, and the next one begins"}};
  return info;
}

Result<> UserProgram::set_up(Environment& env) {
  run_limit_ = std::chrono::seconds(env.param_int("run_seconds"));
  stuck_limit_ = env.scaled(kStuck);
  seed_ = env.seed();
  runs_ = env.counter("runs");
  ended_ = env.counter("runs/ended");
  killed_ = env.counter("runs/ended-by-the-limit");
  skipped_ = env.counter("runs/skipped");
  if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) {
    return broken("PR_SET_CHILD_SUBREAPER is refused");
  }
  return access(kBusybox, X_OK) == 0 ? install_busybox() : Result<>();
}

// A script finds the usual commands by their names.
Result<> UserProgram::install_busybox() {
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

std::vector<Role> UserProgram::roles() {
  Role role{"program", [this](RoleContext& context) { run(context); }};
  role.limit = std::chrono::seconds(10);
  return {role};
}

void UserProgram::run(RoleContext& context) {
  if (error_ || finding_ || skipped_.value() > 0) {
    return;
  }
  auto program = Program::start({kPath}, {fmt::format("MMQUAKE_SEED={}", seed_ + context.round()),
                                          "PATH=/bin:/sbin", "HOME=/tmp"});
  if (!program) {
    error_ = program.error();
    return;
  }
  runs_.add();
  StuckWatch stuck(stuck_limit_);
  const bool hung = watch(context, *program, stuck);
  const bool by_itself = program->status().has_value();
  if (!end_all(context, *program) || hung) {
    return;
  }
  if (by_itself) {
    ended_.add();
    judge_status(*program);
  } else {
    killed_.add();
  }
}

// Until it ends, its time is over, or it hangs (true).
bool UserProgram::watch(RoleContext& context, Program& program, StuckWatch& stuck) {
  const Clock::time_point end = Clock::now() + run_limit_;
  for (;;) {
    program.poll(kLook);
    context.step();
    const std::vector<Task> hung = stuck.feed(tasks_of(descendants_of(getpid())), Clock::now());
    if (!hung.empty()) {
      report("hang", "hang in ", program, hung);
      return true;
    }
    const bool over = program.status() || Clock::now() >= end || context.stopping();
    // Who may be about to hang is not helped by a SIGKILL before that is known.
    if (over && !stuck.has_suspects()) {
      return false;
    }
  }
}

// Nobody is left (true), or somebody does not even die.
bool UserProgram::end_all(RoleContext& context, Program& program) {
  StuckWatch undead(stuck_limit_);
  undead.count_every_wait();
  for (;;) {
    const std::vector<int> left = descendants_of(getpid());
    if (left.empty()) {
      return true;
    }
    Program::kill_all();
    program.poll(milliseconds(10));
    context.step();
    const std::vector<Task> hung = undead.feed(tasks_of(left), Clock::now());
    if (!hung.empty()) {
      report("hang", "killed, but hangs in ", program, hung);
      return false;
    }
  }
}

void UserProgram::judge_status(const Program& program) {
  const int status = *program.status();
  if (status == 0) {
    return;
  }
  for (const int skip : kSkips) {
    if (WIFEXITED(status) && WEXITSTATUS(status) == skip) {
      skipped_.add();
      skip_text_ = program.output();
      return;
    }
  }
  report("failure", "the program " + describe_status(status), program, {});
}

void UserProgram::report(const char* kind, std::string title, const Program& program,
                         const std::vector<Task>& stuck) {
  if (finding_) {
    return;  // the first one says more
  }
  FindingRecord finding;
  finding.kind = kind;
  finding.role = "program";
  std::string tasks;
  for (std::size_t i = 0; i < std::min(stuck.size(), kShownTasks); ++i) {
    const TaskEvidence seen = take_evidence(stuck[i].pid, stuck[i].tid);
    if (i == 0) {
      title += blamed_function(seen.stack, seen.wchan);
      finding.evidence.insert({{"stack", seen.stack},
                               {"wchan", seen.wchan},
                               {"status", seen.status},
                               {"syscall", seen.syscall}});
    }
    tasks += fmt::format("pid {}, tid {}, state {}, syscall {}{}\n", stuck[i].pid, stuck[i].tid,
                         stuck[i].state, stuck[i].syscall, seen.stack);
  }
  if (!stuck.empty()) {
    finding.evidence["tasks"] = std::move(tasks);
  }
  finding.title = std::move(title);
  finding.evidence["output"] = program.output();
  finding_ = std::move(finding);
}

Result<> UserProgram::verify_work() {
  if (error_) {
    return tl::make_unexpected(*error_);
  }
  if (skipped_.value() > 0) {
    return skipped("the program says that it cannot run here: " + skip_text_);
  }
  if (runs_.value() == 0) {
    return broken("the program was never started");
  }
  return {};
}

REGISTER_WORKLOAD(UserProgram);

}  // namespace
}  // namespace mmquake
