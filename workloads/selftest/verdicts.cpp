// SPDX-License-Identifier: GPL-2.0-or-later
//
// Well-behaved workloads of every verdict, for the tests of runner and host. Hidden from
// `mmquake list` by their names.
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "guest/memory/mapping.h"
#include "guest/race/placement.h"
#include "guest/runner/workload.h"

namespace mmquake {
namespace {

// Two roles that only count: passes.
class SelftestPass : public Workload {
 public:
  static WorkloadInfo info() {
    WorkloadInfo info;
    info.name = "selftest-pass";
    info.summary = "two roles that only count";
    info.params = {
        {"pause_us", ParamSpec::Type::kInteger, "1000", 0, 1'000'000, {}, "what a round takes"},
        {"process",
         ParamSpec::Type::kInteger,
         "1",
         0,
         8,
         {},
         "where the second role runs: 0 is the runner's own process"}};
    return info;
  }
  Result<> set_up(Environment& env) override {
    pause_ = std::chrono::microseconds(env.param_int("pause_us"));
    process_ = static_cast<int>(env.param_int("process"));
    steps_ = env.counter("steps");
    draws_ = env.counter("draws/below-10");
    env.note("selftest-pass is set up");
    return {};
  }
  std::vector<Role> roles() override {
    const auto body = [this](RoleContext& context) {
      delay(pause_);
      steps_.add();
      draws_.add(context.random().below(10));
      context.step();
    };
    return {{"counter-a", body}, {"counter-b", body, process_}};
  }
  Result<> verify_work() override {
    return steps_.value() > 0 ? Result<>() : Result<>(broken("no role made a step"));
  }

 private:
  std::chrono::nanoseconds pause_{};
  int process_ = 0;
  Counter steps_;
  Counter draws_;
};
REGISTER_WORKLOAD(SelftestPass);

// A role reads from a pipe that nobody fills. Whether that is a hang of the kernel's, an
// innocent wait, and whether it can be freed, is a parameter.
class SelftestHang final : public Workload {
 public:
  static WorkloadInfo info() {
    WorkloadInfo info;
    info.name = "selftest-hang";
    info.summary = "a role that waits for an empty pipe";
    info.params = {
        {"blame", ParamSpec::Type::kChoice, "kernel", 0, 0, {"kernel", "nobody"}, "who is blamed"},
        {"rescue", ParamSpec::Type::kChoice, "yes", 0, 0, {"yes", "no"}, "whether it is freed"},
        {"process", ParamSpec::Type::kInteger, "0", 0, 8, {}, "where the role runs"},
        {"every", ParamSpec::Type::kInteger, "3", 1, 1000, {}, "it hangs each so many rounds"},
        {"limit_ms", ParamSpec::Type::kInteger, "300", 10, 60'000, {}, "the role's limit"}};
    return info;
  }
  Result<> set_up(Environment& env) override {
    blames_ = env.param("blame") == "kernel";
    rescues_ = env.param("rescue") == "yes";
    process_ = static_cast<int>(env.param_int("process"));
    every_ = static_cast<std::uint64_t>(env.param_int("every"));
    limit_ = std::chrono::milliseconds(env.param_int("limit_ms"));
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) {
      return broken(std::string("make a pipe: ") + std::strerror(errno));
    }
    pipe_ = {UniqueFd(ends[0]), UniqueFd(ends[1])};
    return {};
  }
  std::vector<Role> roles() override {
    Role reader{"reader", [this](RoleContext& context) {
                  char byte = 0;
                  if (context.round() % every_ == 0 && read(pipe_[0].get(), &byte, 1) == 1) {
                    context.step();
                  }
                }};
    reader.process = process_;
    reader.limit = limit_;
    const Role walker{"walker", [](RoleContext& context) { context.step(); }};
    return {reader, walker};
  }
  std::optional<FindingRecord> judge(const Stuck& stuck) override {
    return blames_ ? Workload::judge(stuck) : std::nullopt;
  }
  bool rescue(const Stuck& /*stuck*/) override {
    return rescues_ && write(pipe_[1].get(), "x", 1) == 1;
  }

 private:
  std::array<UniqueFd, 2> pipe_;
  bool blames_ = true;
  bool rescues_ = true;
  int process_ = 0;
  std::uint64_t every_ = 1;
  std::chrono::milliseconds limit_{};
};
REGISTER_WORKLOAD(SelftestHang);

// Runs, and then finds that it did not do what it claims: broken.
class SelftestNoWork final : public SelftestPass {
 public:
  static WorkloadInfo info() {
    WorkloadInfo info = SelftestPass::info();
    info.name = "selftest-no-work";
    info.summary = "ends with no work done";
    return info;
  }
  Result<> verify_work() override { return broken("nothing migrated in this trial"); }
};
REGISTER_WORKLOAD(SelftestNoWork);

// Needs a file that no kernel has: skipped.
class SelftestSkip final : public SelftestPass {
 public:
  static WorkloadInfo info() {
    WorkloadInfo info = SelftestPass::info();
    info.name = "selftest-skip";
    info.summary = "needs what no machine has";
    info.needs.files = {"/proc/mmquake-never"};
    return info;
  }
};
REGISTER_WORKLOAD(SelftestSkip);

}  // namespace
}  // namespace mmquake
