// SPDX-License-Identifier: GPL-2.0-or-later
//
// Whole trials as ordinary processes: supervisor, runner, roles, watchdog.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <new>

#include "guest/race/placement.h"
#include "guest/runner/host_look.h"
#include "guest/runner/supervisor.h"

namespace mmquake {
namespace {

using std::chrono::milliseconds;
using testing::AnyOf;
using testing::HasSubstr;

class Collector final : public Outlet {
 public:
  void send(const Record& record) override {
    records.push_back(record);
    if (std::holds_alternative<Hello>(record)) {
      pumps_until_answer_ = kPumps;
    }
  }
  // As a host that takes its time, and then says that it has seen the finding.
  bool is_answered() const override { return static_cast<bool>(on_answer); }
  std::vector<Record> received() override {
    if (pumps_until_answer_ == 0 || --pumps_until_answer_ > 0) {
      return {};
    }
    on_answer();
    return {GuestPlan{}};
  }
  std::function<void()> on_answer;
  template <typename T>
  std::vector<T> all() const {
    std::vector<T> out;
    for (const Record& record : records) {
      if (const T* one = std::get_if<T>(&record)) {
        out.push_back(*one);
      }
    }
    return out;
  }
  std::vector<Record> records;

 private:
  static constexpr int kPumps = 3;  // one each tick of the supervisor
  int pumps_until_answer_ = 0;
};

// What a test makes a workload of. Runs in the runner's process: results come back as counters.
struct Script {
  std::function<Result<>(Environment&)> set_up = [](Environment&) { return Result<>(); };
  std::vector<Role> roles;
  std::function<std::optional<FindingRecord>()> check = [] { return std::nullopt; };
  std::function<std::optional<FindingRecord>(const Stuck&)> judge;
  // This host migrates pages, too.
  std::function<std::uint64_t()> kernel_work = [] { return std::uint64_t{7}; };
  std::function<bool(const Stuck&)> rescue = [](const Stuck&) { return false; };
  std::function<Result<>()> verify = [] { return Result<>(); };
  std::function<std::optional<FindingRecord>()> aftermath = [] { return std::nullopt; };
};

class Scripted final : public Workload {
 public:
  explicit Scripted(const Script& script) : script_(script) {}
  Result<> set_up(Environment& env) override { return script_.set_up(env); }
  std::vector<Role> roles() override { return script_.roles; }
  std::optional<FindingRecord> check() override { return script_.check(); }
  std::optional<FindingRecord> judge(const Stuck& stuck) override {
    return script_.judge ? script_.judge(stuck) : Workload::judge(stuck);
  }
  std::uint64_t kernel_work() override { return script_.kernel_work(); }
  bool rescue(const Stuck& stuck) override { return script_.rescue(stuck); }
  Result<> verify_work() override { return script_.verify(); }
  std::optional<FindingRecord> check_aftermath() override { return script_.aftermath(); }

 private:
  Script script_;
};

class TrialTest : public testing::Test {
 protected:
  TrialTest() {
    plan.workload = "scripted";
    plan.seconds = 20;
    plan.max_rounds = 5;
    int ends[2] = {-1, -1};
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    empty_pipe = {ends[0], ends[1]};
  }
  TrialTest(const TrialTest&) = delete;
  TrialTest& operator=(const TrialTest&) = delete;
  ~TrialTest() override {
    close(empty_pipe[0]);
    close(empty_pipe[1]);
  }

  Summary run() {
    Registry registry;
    info.name = "scripted";
    registry.add(info, [this] { return std::make_unique<Scripted>(script); });
    SuperviseOptions options;
    options.widener = widener;
    options.refused_modules = refused_modules;
    return supervise(plan, registry, sink, options);
  }

  Role stuck_reader(int process = 0) {
    Role role{"reader", [fd = empty_pipe[0]](RoleContext& context) {
                char byte = 0;
                if (read(fd, &byte, 1) == 1) {
                  context.step();
                }
              }};
    role.process = process;
    role.limit = milliseconds(100);
    return role;
  }

  GuestPlan plan;
  WorkloadInfo info;
  Script script;
  Collector sink;
  Widener* widener = nullptr;
  std::vector<std::string> refused_modules;
  std::array<int, 2> empty_pipe{};
};

std::vector<Role> two_stepping_roles() {
  const auto body = [](RoleContext& context) { context.step(); };
  return {{"a", body}, {"b", body, 1}};
}

TEST(TimeOver, AHostWithoutTimeGetsSomeMoreForAFewRounds) {
  EXPECT_FALSE(is_time_over(19, 20, 3));
  EXPECT_TRUE(is_time_over(20, 20, 3));
  EXPECT_FALSE(is_time_over(39, 20, 2));
  EXPECT_TRUE(is_time_over(40, 20, 2)) << "as much again at most";
  EXPECT_TRUE(is_time_over(90, 60, 1)) << "and no more than the host waits for";
}

TEST_F(TrialTest, RunsEveryRoundOnceInThreadsAndProcesses) {
  Counter in_thread;
  Counter in_process;
  script.set_up = [&](Environment& env) {
    in_thread = env.counter("thread");
    in_process = env.counter("process");
    env.note("up");
    return Result<>();
  };
  script.roles = {{"a", [&](RoleContext&) { in_thread.add(); }},
                  {"b", [&](RoleContext& context) { in_process.add(context.round()); }, 1},
                  {"c", [&](RoleContext&) { in_process.add(); }, 1},
                  {"d", [&](RoleContext&) { in_process.add(); }, 2}};
  plan.max_rounds = 100;
  const Summary summary = run();
  EXPECT_EQ(summary.outcome, Outcome::kPassed) << summary.reason;
  EXPECT_EQ(summary.rounds, 100U);
  EXPECT_EQ(summary.counters.at("thread"), 100U);
  EXPECT_EQ(summary.counters.at("process"), 5050U + 200U);
  EXPECT_EQ(summary.counters.at("innocent_waits"), 0U);
  ASSERT_EQ(sink.all<Note>().size(), 1U);
  ASSERT_EQ(sink.all<Summary>().size(), 1U);
  EXPECT_TRUE(std::holds_alternative<Summary>(sink.records.back()));
}

TEST_F(TrialTest, TheSameSeedDrawsTheSame) {
  std::array<std::uint64_t, 3> sums{};
  for (std::size_t i = 0; i < sums.size(); ++i) {
    Counter sum;
    script.set_up = [&](Environment& env) {
      sum = env.counter("sum");
      return Result<>();
    };
    script.roles = {{"a", [&](RoleContext& context) { sum.add(context.random().below(1000)); }},
                    {"b", [&](RoleContext& context) { sum.add(context.random().below(1000)); }, 1}};
    plan.seed = i < 2 ? 7 : 8;
    sums[i] = run().counters.at("sum");
  }
  EXPECT_EQ(sums[0], sums[1]);
  EXPECT_NE(sums[0], sums[2]);
}

TEST_F(TrialTest, EndsWhenTheTimeIsOverAndTellsLongBodies) {
  script.roles = {{"a", [](RoleContext& context) {
                     while (!context.stopping()) {
                       delay(milliseconds(5));
                       context.step();
                     }
                   }}};
  plan.seconds = 1.5;
  plan.max_rounds = 0;
  const Summary summary = run();
  EXPECT_EQ(summary.outcome, Outcome::kPassed) << summary.reason;
  EXPECT_EQ(summary.rounds, 1U);
  EXPECT_GE(summary.time_s, 1.5);
  EXPECT_LT(summary.time_s, 15);
  const std::vector<Heartbeat> beats = sink.all<Heartbeat>();
  ASSERT_GE(beats.size(), 1U);
  EXPECT_EQ(beats[0].roles.at(0).name, "a");
  EXPECT_GT(beats[0].roles.at(0).steps, 0U);
  EXPECT_EQ(beats[0].roles.at(0).state, "running");
}

// Ten seconds is what others have. One call of a role with a long limit may take as long as that.
TEST_F(TrialTest, WhoHasALongLimitHasItAtTheEndToo) {
  Role slow{"slow", [](RoleContext& context) {
              for (int i = 0; i < 12; ++i) {
                delay(milliseconds(1000));
                context.step();
              }
            }};
  slow.limit = milliseconds(30000);
  script.roles = {slow};
  plan.seconds = 0.2;
  plan.max_rounds = 1;
  EXPECT_EQ(run().outcome, Outcome::kPassed);
}

TEST_F(TrialTest, AStuckRoleIsAFindingWithEvidence) {
  for (const int process : {0, 1}) {
    sink.records.clear();
    script.roles = {stuck_reader(process),
                    {"walker", [](RoleContext& context) { context.step(); }}};
    const Summary summary = run();
    EXPECT_EQ(summary.outcome, Outcome::kFound) << summary.reason;
    EXPECT_EQ(summary.rounds, 1U);
    const std::vector<FindingRecord> findings = sink.all<FindingRecord>();
    ASSERT_EQ(findings.size(), 1U);
    EXPECT_EQ(findings[0].kind, "hang");
    // Kernels differ in their name for it; without root wchan speaks.
    EXPECT_THAT(findings[0].title,
                AnyOf("hang in pipe_read", "hang in anon_pipe_read", "hang in pipe_wait"));
    EXPECT_EQ(findings[0].role, "reader");
    EXPECT_THAT(findings[0].evidence.at("status"), HasSubstr("reader"));
    EXPECT_THAT(findings[0].evidence.at("roles"), HasSubstr("walker: parked, 1 steps"));
    EXPECT_TRUE(findings[0].evidence.count("stack"));
    EXPECT_TRUE(findings[0].evidence.count("syscall"));
  }
}

TEST_F(TrialTest, ARescuedRoleGoesOnAndFindingsAddUp) {
  script.roles = {stuck_reader()};
  script.rescue = [fd = empty_pipe[1]](const Stuck& stuck) {
    return stuck.role == "reader" && write(fd, "x", 1) == 1;
  };
  script.judge = [](const Stuck&) {
    FindingRecord finding;
    finding.kind = "hang";
    finding.title = "a title of its own";
    finding.evidence["stack"] = "mine";
    return finding;
  };
  plan.max_findings = 2;
  const Summary summary = run();
  EXPECT_EQ(summary.outcome, Outcome::kFound);
  EXPECT_EQ(summary.rounds, 2U);
  EXPECT_EQ(summary.counters.at("rescues"), 2U);
  const std::vector<FindingRecord> findings = sink.all<FindingRecord>();
  ASSERT_EQ(findings.size(), 2U);
  EXPECT_EQ(findings[1].round, 2U);
  EXPECT_EQ(findings[1].evidence.at("stack"), "mine");
}

TEST_F(TrialTest, TheGuestStaysAsItIsUntilTheHostHasSeenTheFinding) {
  // Of both processes.
  void* shared = mmap(nullptr, sizeof(std::atomic<int>), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(shared, MAP_FAILED);
  auto* rescues = new (shared) std::atomic<int>(0);
  script.roles = {stuck_reader()};
  script.rescue = [fd = empty_pipe[1], rescues](const Stuck&) {
    ++*rescues;
    return write(fd, "x", 1) == 1;
  };
  std::vector<int> rescues_at_answer;
  sink.on_answer = [&] { rescues_at_answer.push_back(rescues->load()); };
  plan.max_findings = 2;
  const Summary summary = run();
  EXPECT_EQ(summary.outcome, Outcome::kFound);
  EXPECT_THAT(rescues_at_answer, testing::ElementsAre(0, 1));
  munmap(shared, sizeof(std::atomic<int>));
}

TEST_F(TrialTest, AJudgeMayLetTheHostLookBeforeItUndoesSomething) {
  void* shared = mmap(nullptr, sizeof(std::atomic<int>), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(shared, MAP_FAILED);
  auto* undone = new (shared) std::atomic<int>(0);
  script.roles = {stuck_reader()};
  script.judge = [fd = empty_pipe[1], undone](const Stuck&) -> std::optional<FindingRecord> {
    let_host_look();
    undone->store(write(fd, "x", 1) == 1 ? 1 : -1);
    return std::nullopt;
  };
  script.rescue = [](const Stuck&) { return true; };
  std::vector<int> undone_at_answer;
  sink.on_answer = [&] { undone_at_answer.push_back(undone->load()); };
  plan.max_rounds = 1;
  EXPECT_EQ(run().outcome, Outcome::kPassed);
  EXPECT_THAT(undone_at_answer, testing::ElementsAre(0));
  EXPECT_EQ(undone->load(), 1);
  munmap(shared, sizeof(std::atomic<int>));
}

TEST_F(TrialTest, AnInnocentWaitIsCountedAndTheRoundsGoOn) {
  script.roles = {stuck_reader()};
  script.judge = [](const Stuck&) { return std::nullopt; };
  script.rescue = [fd = empty_pipe[1]](const Stuck&) { return write(fd, "x", 1) == 1; };
  plan.max_rounds = 2;
  const Summary summary = run();
  EXPECT_EQ(summary.outcome, Outcome::kPassed) << summary.reason;
  EXPECT_EQ(summary.rounds, 2U);
  EXPECT_EQ(summary.counters.at("innocent_waits"), 2U);
  EXPECT_TRUE(sink.all<FindingRecord>().empty());
}

TEST_F(TrialTest, AnInnocentWaitThatCannotBeFreedIsBroken) {
  script.roles = {stuck_reader()};
  script.judge = [](const Stuck&) { return std::nullopt; };
  const Summary summary = run();
  EXPECT_EQ(summary.outcome, Outcome::kBroken);
  EXPECT_THAT(summary.reason, HasSubstr("reader"));
  EXPECT_THAT(summary.reason, HasSubstr("could not be freed"));
}

TEST_F(TrialTest, ABusyRoleInUserSpaceIsNoHangOfTheKernel) {
  Role busy{"busy", [](RoleContext&) {
              for (;;) {
                asm volatile("" ::: "memory");
              }
            }};
  busy.limit = milliseconds(100);
  script.roles = {busy};
  script.judge = [](const Stuck& stuck) -> std::optional<FindingRecord> {
    // The kernel's word for a task that runs; a stack may still be seen of its last interrupt.
    return stuck.wchan.empty() ? std::nullopt : std::make_optional<FindingRecord>();
  };
  const Summary summary = run();
  EXPECT_EQ(summary.outcome, Outcome::kBroken);
  EXPECT_THAT(summary.reason, HasSubstr("busy"));
}

TEST_F(TrialTest, StepsKeepTheWatchdogQuiet) {
  Role slow{"slow", [](RoleContext& context) {
              for (int i = 0; i < 40; ++i) {
                delay(milliseconds(10));
                context.step();
              }
            }};
  slow.limit = milliseconds(250);
  script.roles = {slow};
  plan.max_rounds = 1;
  const Summary summary = run();
  EXPECT_EQ(summary.outcome, Outcome::kPassed) << summary.reason;
  EXPECT_EQ(summary.counters.at("late_rounds"), 0U);
}

TEST_F(TrialTest, ALateRoleThatArrivesInTheGraceIsOnlyCounted) {
  Role late{"late", [](RoleContext&) { delay(milliseconds(500)); }};
  late.limit = milliseconds(50);
  script.roles = {late};
  plan.max_rounds = 1;
  const Summary summary = run();
  EXPECT_EQ(summary.outcome, Outcome::kPassed) << summary.reason;
  EXPECT_EQ(summary.counters.at("late_rounds"), 1U);
}

// The process that works beside the roles: the one child of `supervisor` with its name.
int cpu_worker_of(int supervisor) {
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    std::ifstream in(entry.path() / "stat");
    std::string pid;
    std::string name;
    std::string state;
    int parent = 0;
    if (in >> pid >> name >> state >> parent && name == "(cpu-work)" && parent == supervisor) {
      return std::stoi(pid);
    }
  }
  return -1;
}

TEST_F(TrialTest, ARoleIsSlowAsLongAsTheKernelWorksForIt) {
  script.roles = {stuck_reader()};
  script.kernel_work = [looks = std::uint64_t{0}]() mutable {
    return std::min<std::uint64_t>(++looks, 4);  // grows over two graces
  };
  const Summary summary = run();
  EXPECT_EQ(summary.outcome, Outcome::kFound) << summary.reason;
  EXPECT_EQ(summary.counters.at("slow_waits"), 2U);
}

TEST_F(TrialTest, ARoleIsNotStuckWhileTheHostGivesTheCpusNoTime) {
  Role starved{"starved", [](RoleContext&) {
                 int worker = -1;
                 while ((worker = cpu_worker_of(getppid())) < 0) {
                   sched_yield();  // a busy host: it has its name a little later
                 }
                 if (kill(worker, SIGSTOP) == 0) {
                   delay(milliseconds(4000));  // far beyond limit and grace
                   kill(worker, SIGCONT);
                 }
               }};
  starved.limit = milliseconds(50);
  script.roles = {starved};
  script.judge = [](const Stuck& stuck) {
    return std::make_optional(FindingRecord{"hang", "hang in nothing", stuck.role, 0, 0, {}});
  };
  plan.max_rounds = 1;
  const Summary summary = run();
  EXPECT_EQ(summary.outcome, Outcome::kPassed) << summary.reason;
  EXPECT_EQ(summary.counters.at("late_rounds"), 1U);
}

TEST_F(TrialTest, SlowdownStretchesTheLimit) {
  Role late{"late", [](RoleContext&) { delay(milliseconds(200)); }};
  late.limit = milliseconds(100);
  script.roles = {late};
  plan.max_rounds = 1;
  plan.slowdown = 20;
  EXPECT_EQ(run().counters.at("late_rounds"), 0U);
}

TEST_F(TrialTest, QuiescingTellsTheOthersToStop) {
  script.roles = {stuck_reader(), {"loop", [](RoleContext& context) {
                                     while (!context.stopping()) {
                                       delay(milliseconds(1));
                                       context.step();
                                     }
                                   }}};
  EXPECT_EQ(run().outcome, Outcome::kFound);
  EXPECT_THAT(sink.all<FindingRecord>().at(0).evidence.at("roles"), HasSubstr("loop: parked"));
}

TEST_F(TrialTest, CheckReportsAndTheTrialStops) {
  script.roles = two_stepping_roles();
  int rounds = 0;
  script.check = [&rounds]() -> std::optional<FindingRecord> {
    if (++rounds < 3) {
      return std::nullopt;
    }
    FindingRecord finding;
    finding.kind = "corruption";
    finding.title = "torn cell";
    return finding;
  };
  const Summary summary = run();
  EXPECT_EQ(summary.outcome, Outcome::kFound);
  EXPECT_EQ(summary.rounds, 3U);
  EXPECT_EQ(sink.all<FindingRecord>().at(0).round, 3U);
}

TEST_F(TrialTest, NoWorkIsBroken) {
  script.roles = two_stepping_roles();
  script.verify = [] { return broken("nothing migrated"); };
  const Summary summary = run();
  EXPECT_EQ(summary.outcome, Outcome::kBroken);
  EXPECT_THAT(summary.reason, HasSubstr("nothing migrated"));
}

TEST_F(TrialTest, WhatDoesNotComeBackIsAFinding) {
  script.roles = two_stepping_roles();
  script.aftermath = [] {
    FindingRecord finding;
    finding.kind = "leak";
    finding.title = "memory did not come back";
    return std::optional(finding);
  };
  EXPECT_EQ(run().outcome, Outcome::kFound);
  ASSERT_EQ(sink.all<FindingRecord>().size(), 1U);
  EXPECT_EQ(sink.all<FindingRecord>()[0].title, "memory did not come back");
}

TEST_F(TrialTest, NobodyLooksAtWhatABrokenTrialLeavesBehind) {
  script.roles = two_stepping_roles();
  script.verify = [] { return broken("nothing migrated"); };
  script.aftermath = [] { return std::optional(FindingRecord()); };
  EXPECT_EQ(run().outcome, Outcome::kBroken);
}

TEST_F(TrialTest, LacksAreSkippedAndNamed) {
  info.needs.files = {"/proc/mmquake-never"};
  script.roles = two_stepping_roles();
  const Summary summary = run();
  EXPECT_EQ(summary.outcome, Outcome::kSkipped);
  EXPECT_THAT(summary.reason, HasSubstr("/proc/mmquake-never"));
}

TEST_F(TrialTest, AModuleThatWasRefusedMayBeTheLack) {
  script.roles = two_stepping_roles();
  refused_modules = {"brd (Invalid argument)"};
  EXPECT_EQ(run().reason, "");
  script.set_up = [](Environment&) { return Result<>(skipped("no /dev/ram0")); };
  EXPECT_THAT(run().reason, HasSubstr("no /dev/ram0; modules not loaded: brd (Invalid argument)"));
}

TEST_F(TrialTest, SetUpDecidesBetweenSkippedAndBroken) {
  script.roles = two_stepping_roles();
  script.set_up = [](Environment&) { return Result<>(skipped("no such file system")); };
  EXPECT_EQ(run().outcome, Outcome::kSkipped);
  script.set_up = [](Environment&) { return Result<>(broken("mmap failed")); };
  const Summary summary = run();
  EXPECT_EQ(summary.outcome, Outcome::kBroken);
  EXPECT_THAT(summary.reason, HasSubstr("set up workload 'scripted': mmap failed"));
}

TEST_F(TrialTest, UnknownWorkloadAndParameterAreBroken) {
  script.roles = two_stepping_roles();
  plan.params = {{"colour", "red"}};
  EXPECT_THAT(run().reason, HasSubstr("no parameter 'colour'"));
  plan.workload = "nothing";
  EXPECT_THAT(run().reason, HasSubstr("no workload 'nothing'"));
}

TEST_F(TrialTest, ACrashedRunnerIsBrokenWithSignalAddressAndRole) {
  script.roles = {{"crasher", [](RoleContext&) {
                     volatile int* const nowhere = reinterpret_cast<int*>(0x1230);
                     *nowhere = 1;
                   }}};
  for (const int process : {0, 1}) {
    script.roles[0].process = process;
    const Summary summary = run();
    EXPECT_EQ(summary.outcome, Outcome::kBroken);
    EXPECT_THAT(summary.reason, HasSubstr("signal 11"));
    EXPECT_THAT(summary.reason, HasSubstr("at address 0x1230 in role 'crasher'"));
  }
}

TEST_F(TrialTest, AKilledRoleProcessIsBroken) {
  script.roles = {{"victim", [](RoleContext&) { raise(SIGKILL); }, 1},
                  {"other", [](RoleContext& context) { context.step(); }}};
  const Summary summary = run();
  EXPECT_EQ(summary.outcome, Outcome::kBroken);
  EXPECT_THAT(summary.reason, HasSubstr("process 1 of the roles (victim) died of signal 9"));
}

TEST_F(TrialTest, ARoleOnACpuThatIsNotThereIsBroken) {
  Role role{"far", [](RoleContext&) {}};
  role.cpu = 100'000;
  script.roles = {role};
  EXPECT_THAT(run().reason, HasSubstr("pin role 'far' to CPU index 100000"));
}

TEST_F(TrialTest, NoRolesIsBroken) {
  EXPECT_THAT(run().reason, HasSubstr("0 roles"));
}

class FakeWidener final : public Widener {
 public:
  Result<> configure(const std::vector<WidenSite>&, std::uint64_t) override { return configured; }
  Result<std::vector<WidenerCount>> read() override { return counts; }
  Result<> configured;
  std::vector<WidenerCount> counts;
};

TEST_F(TrialTest, WideningThatDidNothingIsBroken) {
  script.roles = two_stepping_roles();
  plan.widen.resize(1);
  plan.widen[0].site = "set_pmd_migration_entry";
  EXPECT_THAT(run().reason, HasSubstr("no widener module"));
  FakeWidener fake;
  widener = &fake;
  fake.counts = {{"set_pmd_migration_entry", 9, 0, 0}};
  const Summary idle = run();
  EXPECT_EQ(idle.outcome, Outcome::kBroken);
  EXPECT_THAT(idle.reason, HasSubstr("set_pmd_migration_entry had no effective delay (9 hits)"));
  // Where a site is drawn at random that is no fault.
  plan.widen[0].site = "other|set_pmd_migration_entry";
  plan.widen[0].may_miss = true;
  EXPECT_EQ(run().outcome, Outcome::kPassed);
  plan.widen[0].may_miss = false;
  fake.counts[0].effective = 3;
  const Summary summary = run();
  EXPECT_EQ(summary.outcome, Outcome::kPassed) << summary.reason;
  EXPECT_EQ(summary.widener.at(0).effective, 3U);
  fake.configured = skipped("the kernel has no symbol 'x'");
  EXPECT_EQ(run().outcome, Outcome::kSkipped);
}

}  // namespace
}  // namespace mmquake
