// SPDX-License-Identifier: GPL-2.0-or-later
//
// One test of a kernel selftest collection (mmquake repro --kselftest), run once, in its own
// folder, as kselftest's runner does it, and under the same oracles as any other program. All that
// it prints goes to the host, which understands KTAP.
#include <fmt/core.h>
#include <sys/wait.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "guest/protocol/program_output.h"
#include "guest/runner/workload.h"
#include "workloads/program/watched_program.h"

namespace mmquake {
namespace {

constexpr const char* kRoot = "/payload/kselftest";
constexpr const char* kList = "/payload/kselftest-list.txt";  // of those that the host has chosen
constexpr int kSkip = 4;
constexpr std::size_t kMostOutput = 8 << 20;

class KernelSelftest final : public Workload {
 public:
  static WorkloadInfo info();
  Result<> set_up(Environment& env) override;
  std::vector<Role> roles() override;
  std::optional<FindingRecord> check() override { return std::exchange(finding_, std::nullopt); }
  Result<> verify_work() override;

 private:
  void run(RoleContext& context);
  Result<> read_name(std::int64_t number);
  Result<Program> start();
  void pass_on(std::string_view text);
  void judge_status(WatchedProgram& watched);
  void report_timeout(const WatchedProgram& watched);

  Environment* env_ = nullptr;
  std::string test_;  // "mm:compaction_test"
  std::int64_t timeout_ = 0;
  std::uint64_t pieces_ = 0;
  Counter runs_, output_, output_cut_;
  std::optional<Error> error_;
  std::optional<FindingRecord> finding_;
  std::optional<std::string> skip_text_;
};

WorkloadInfo KernelSelftest::info() {
  WorkloadInfo info;
  info.name = "kselftest";
  info.summary = "a kernel selftest: see mmquake repro --kselftest";
  info.exercises = {"what the test does"};
  info.needs.files = {kList};
  info.params = {{"test",
                  ParamSpec::Type::kInteger,
                  "1",
                  1,
                  100000,
                  {},
                  "which of the tests in the image, by its line in their list"},
                 {"timeout",
                  ParamSpec::Type::kInteger,
                  "45",
                  0,
                  86400,
                  {},
                  "seconds, times the slowdown, after which it has failed; 0: never"}};
  return info;
}

Result<> KernelSelftest::set_up(Environment& env) {
  env_ = &env;
  if (auto found = read_name(env.param_int("test")); !found) {
    return found;
  }
  timeout_ = env.param_int("timeout");
  runs_ = env.counter("runs");
  output_ = env.counter("output_bytes");
  output_cut_ = env.counter("output_bytes_cut");
  return prepare_for_programs();
}

Result<> KernelSelftest::read_name(std::int64_t number) {
  std::ifstream list(kList);
  for (std::int64_t line = 0; line < number; ++line) {
    if (!std::getline(list, test_)) {
      return broken(fmt::format("{} has no line {}", kList, number));
    }
  }
  return test_.find(':') != std::string::npos
             ? Result<>()
             : broken(fmt::format("'{}' is not of the form COLLECTION:TEST", test_));
}

std::vector<Role> KernelSelftest::roles() {
  Role role{"kselftest", [this](RoleContext& context) { run(context); }};
  role.limit = std::chrono::seconds(10);
  return {role};
}

Result<Program> KernelSelftest::start() {
  const std::size_t colon = test_.find(':');
  const std::filesystem::path file =
      std::filesystem::path(kRoot) / test_.substr(0, colon) / test_.substr(colon + 1);
  return Program::start({"./" + file.filename().string()},
                        {fmt::format("MMQUAKE_SEED={}", env_->seed()),
                         "PATH=/bin:/sbin:/usr/bin:/usr/sbin", "HOME=/tmp"},
                        file.parent_path());
}

void KernelSelftest::run(RoleContext& context) {
  if (runs_.value() > 0) {
    return;
  }
  auto program = start();
  runs_.add();
  if (!program) {
    error_ = program.error();
    return;
  }
  program->on_output([this](std::string_view text) { pass_on(text); });
  WatchedProgram watched(std::move(*program), env_->scaled(WatchedProgram::kStuck));
  std::optional<std::chrono::nanoseconds> limit;
  if (timeout_ > 0) {
    limit = env_->scaled(std::chrono::seconds(timeout_));
  }
  switch (watched.run(context, limit)) {
    case WatchedProgram::End::kHung:
      finding_ = watched.finding();
      break;
    case WatchedProgram::End::kByLimit:
      report_timeout(watched);
      break;
    case WatchedProgram::End::kByItself:
      judge_status(watched);
      break;
  }
}

void KernelSelftest::pass_on(std::string_view text) {
  const std::string_view kept =
      text.substr(0, kMostOutput - std::min<std::size_t>(output_.value(), kMostOutput));
  for (std::size_t at = 0; at < kept.size(); at += kMaxOutputPiece) {
    env_->note(output_note({pieces_++, kept.substr(at, kMaxOutputPiece)}));
  }
  output_.add(kept.size());
  output_cut_.add(text.size() - kept.size());
}

void KernelSelftest::judge_status(WatchedProgram& watched) {
  const int status = watched.status();
  if (WIFEXITED(status) && WEXITSTATUS(status) == kSkip) {
    skip_text_ = watched.program().output();
  } else if (status != 0) {
    finding_ = watched.finding_of("failure", fmt::format("{}: {}", test_, describe_status(status)));
  }
}

// A hang by its kind: a matter of time, and believed only if the host gave the guest some.
void KernelSelftest::report_timeout(const WatchedProgram& watched) {
  finding_ = watched.finding_of("hang", test_ + ": TIMEOUT");
  finding_->evidence["tasks"] = watched.tasks_at_limit();
}

Result<> KernelSelftest::verify_work() {
  if (error_) {
    return tl::make_unexpected(*error_);
  }
  if (skip_text_) {
    return skipped("the test says that it cannot run here: " + *skip_text_);
  }
  return runs_.value() > 0 ? Result<>() : Result<>(broken("the test was never started"));
}

REGISTER_WORKLOAD(KernelSelftest);

}  // namespace
}  // namespace mmquake
