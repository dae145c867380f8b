// SPDX-License-Identifier: GPL-2.0-or-later
//
// A program of the user's (mmquake repro --c, --binary, --script), run again and again under the
// oracles that need nothing of it: the kernel's log, which the host reads; its exit status; and its
// tasks (WatchedProgram).
#include "guest/program/program.h"

#include <fmt/core.h>
#include <sys/wait.h>

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "guest/runner/workload.h"
#include "workloads/program/watched_program.h"

namespace mmquake {
namespace {

constexpr const char* kPath = "/payload/run";
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
  void run(RoleContext& context);
  void judge_status(WatchedProgram& watched);

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
  stuck_limit_ = env.scaled(WatchedProgram::kStuck);
  seed_ = env.seed();
  runs_ = env.counter("runs");
  ended_ = env.counter("runs/ended");
  killed_ = env.counter("runs/ended-by-the-limit");
  skipped_ = env.counter("runs/skipped");
  return prepare_for_programs();
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
  WatchedProgram watched(std::move(*program), stuck_limit_);
  switch (watched.run(context, run_limit_)) {
    case WatchedProgram::End::kHung:
      finding_ = watched.finding();
      break;
    case WatchedProgram::End::kByLimit:
      killed_.add();
      break;
    case WatchedProgram::End::kByItself:
      ended_.add();
      judge_status(watched);
      break;
  }
}

void UserProgram::judge_status(WatchedProgram& watched) {
  const int status = watched.status();
  if (status == 0) {
    return;
  }
  for (const int skip : kSkips) {
    if (WIFEXITED(status) && WEXITSTATUS(status) == skip) {
      skipped_.add();
      skip_text_ = watched.program().output();
      return;
    }
  }
  finding_ = watched.finding_of("failure", "the program " + describe_status(status));
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
