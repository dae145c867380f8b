// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/campaign/trial.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <iterator>

#include "host/machine/fake_hypervisor.h"

namespace mmquake {
namespace {

using ::testing::HasSubstr;

FakeStep console(std::string text) {
  FakeStep step;
  step.activity.console = std::move(text);
  return step;
}

FakeStep records(std::string bytes, FakeStep::WaitsFor waits = FakeStep::WaitsFor::kNothing) {
  FakeStep step;
  step.activity.records_virtio = std::move(bytes);
  step.waits_for = waits;
  return step;
}

FakeStep state(MachineState now, FakeStep::WaitsFor waits = FakeStep::WaitsFor::kNothing) {
  FakeStep step;
  step.activity.state = now;
  step.waits_for = waits;
  return step;
}

std::string hello() {
  Hello record;
  record.kernel = "6.1.192";
  record.cpus = 4;
  record.nodes = 2;
  record.calibration_ms = 100;
  return encode(record);
}

std::string passed() {
  Summary summary;
  summary.outcome = Outcome::kPassed;
  summary.rounds = 7;
  summary.time_s = 2;
  return encode(summary);
}

std::string found() {
  FindingRecord finding;
  finding.kind = "hang";
  finding.title = "hang in f";
  return encode(finding);
}

// Short enough that a test of a deadline takes no time; no test asserts how long anything took.
Deadlines short_deadlines() {
  Deadlines out;
  out.boot = 0.3;
  out.silence = 0.05;
  out.overrun = 0.05;
  out.power_off = 0.05;
  out.panic_print = 0.05;
  out.console_limit = 1 << 20;
  return out;
}

// Of tests that no deadline may end, however busy the host is.
Deadlines long_deadlines() {
  Deadlines out;
  out.console_limit = 1 << 20;
  return out;
}

class Trial : public testing::Test {
 protected:
  void SetUp() override {
    directory_ =
        std::filesystem::temp_directory_path() / ("trial_test." + std::to_string(getpid()));
    plan_.name = "trial-001";
    plan_.directory = directory_;
    plan_.guest.workload = "w";
    plan_.guest.seconds = 0.2;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  Verdict run(std::vector<FakeStep> steps, const Deadlines& deadlines = long_deadlines()) {
    FakeScript script;
    script.steps = std::move(steps);
    fake_ = std::make_unique<FakeHypervisor>(std::vector<FakeScript>{script});
    auto result = run_trial(plan_, *fake_, {}, {}, deadlines);
    EXPECT_TRUE(result) << result.error().message;
    if (!result) return {};
    EXPECT_TRUE(fake_->log().at(0)->destroyed);
    result_ = *result;
    return result->verdict;
  }

  std::filesystem::path directory_;
  TrialPlan plan_;
  std::unique_ptr<FakeHypervisor> fake_;
  TrialResult result_;
};

TEST_F(Trial, PassesAndKeepsTheRecords) {
  const Verdict verdict = run(
      {records(hello()), records(passed(), FakeStep::WaitsFor::kSend), state(MachineState::kOff)});
  EXPECT_EQ(verdict.outcome, Outcome::kPassed) << verdict.reason;
  EXPECT_EQ(result_.hello.kernel, "6.1.192");
  EXPECT_EQ(result_.summary.rounds, 7U);
  std::ifstream file(directory_ / "records.jsonl");
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2);
}

TEST_F(Trial, AnswersEveryHelloWithThePlanAndTheMeasuredSlowdown) {
  plan_.guest.seed = 42;
  run({records(hello()), records(hello(), FakeStep::WaitsFor::kSend),
       records(passed(), FakeStep::WaitsFor::kSend), state(MachineState::kOff)});
  const auto& sent = fake_->log().at(0)->sent;
  ASSERT_EQ(sent.size(), 2U);
  RecordReader reader;
  const std::vector<Record> plans = reader.feed(sent[1]);
  ASSERT_EQ(plans.size(), 1U);
  EXPECT_EQ(std::get<GuestPlan>(plans[0]).seed, 42U);
  EXPECT_DOUBLE_EQ(std::get<GuestPlan>(plans[0]).slowdown, detector_scale(result_.slowdown));
}

// ---- a VM that runs several trials ----

class KeptVmTest : public Trial {
 protected:
  std::vector<Verdict> run_trials(std::vector<FakeStep> steps, int count,
                                  const Deadlines& deadlines = long_deadlines()) {
    FakeScript script;
    script.steps = std::move(steps);
    fake_ = std::make_unique<FakeHypervisor>(std::vector<FakeScript>{script});
    std::vector<Verdict> out;
    for (int i = 1; i <= count; ++i) {
      plan_.name = "trial-" + std::to_string(i);
      plan_.directory = directory_ / plan_.name;
      plan_.keeps_vm = i < count;
      auto result = run_trial(plan_, *fake_, vm_, {}, {}, deadlines);
      EXPECT_TRUE(result) << result.error().message;
      if (!result) return out;
      out.push_back(result->verdict);
      result_ = *result;
    }
    return out;
  }

  KeptVm vm_;
};

TEST_F(KeptVmTest, RunsASecondTrialInTheSameVm) {
  const auto verdicts = run_trials(
      {records(hello()), records(passed() + hello(), FakeStep::WaitsFor::kSend), records(hello()),
       records(passed(), FakeStep::WaitsFor::kSend), state(MachineState::kOff)},
      2);
  ASSERT_EQ(verdicts.size(), 2U);
  EXPECT_EQ(verdicts[0].outcome, Outcome::kPassed) << verdicts[0].reason;
  EXPECT_EQ(verdicts[1].outcome, Outcome::kPassed) << verdicts[1].reason;
  ASSERT_EQ(fake_->log().size(), 1U) << "one boot";
  EXPECT_TRUE(fake_->log()[0]->destroyed);
  EXPECT_THAT(result_.before, testing::ElementsAre("trial-1"));
  EXPECT_EQ(vm_.machine, nullptr);
  RecordReader reader;
  std::vector<std::uint64_t> turns;
  for (const std::string& sent : fake_->log()[0]->sent) {
    for (const Record& plan : reader.feed(sent)) turns.push_back(std::get<GuestPlan>(plan).turn);
  }
  EXPECT_THAT(turns, testing::ElementsAre(1, 0));
}

TEST_F(KeptVmTest, AGuestThatPowersOffAllTheSameIsNotKept) {
  run_trials(
      {records(hello()), records(passed(), FakeStep::WaitsFor::kSend), state(MachineState::kOff)},
      2);
  EXPECT_EQ(fake_->log().size(), 2U);
}

TEST_F(KeptVmTest, AFindingEndsTheVm) {
  FakeStep end = records(passed() + hello(), FakeStep::WaitsFor::kSend);
  end.activity.console = "[    5.000000] kernel BUG at mm/rmap.c:1234!\n";
  const auto verdicts = run_trials({records(hello()), end, records("")}, 2, short_deadlines());
  ASSERT_EQ(verdicts.size(), 2U);
  EXPECT_EQ(verdicts[0].outcome, Outcome::kFound) << verdicts[0].reason;
  EXPECT_EQ(fake_->log().size(), 2U);
  EXPECT_TRUE(fake_->log()[0]->destroyed);
}

// Nobody but the trials before can be to blame, so it is not taken for a boot that failed.
TEST_F(KeptVmTest, AKernelThatPanicsBetweenTwoTrialsIsAFinding) {
  const auto verdicts = run_trials(
      {records(hello()), records(passed() + hello(), FakeStep::WaitsFor::kSend), records(hello()),
       console("[    9.000000] kernel BUG at mm/rmap.c:1234!\n"), state(MachineState::kCrashed),
       state(MachineState::kOff, FakeStep::WaitsFor::kResume)},
      2);
  ASSERT_EQ(verdicts.size(), 2U);
  EXPECT_EQ(verdicts[0].outcome, Outcome::kPassed) << verdicts[0].reason;
  EXPECT_EQ(verdicts[1].outcome, Outcome::kFound) << verdicts[1].reason;
  std::ifstream copy(directory_ / "trial-2" / "console.log");
  const std::string text((std::istreambuf_iterator<char>(copy)), std::istreambuf_iterator<char>());
  EXPECT_THAT(text, HasSubstr("mm/rmap.c:1234"));
}

TEST_F(Trial, BootArgumentsPutTheBugsOn) {
  plan_.bugs = {"a", "b"};
  run({records(hello()), records(passed()), state(MachineState::kOff)});
  EXPECT_THAT(fake_->log().at(0)->request.boot_args, testing::Contains("mmquake_bugs=a,b"));
}

TEST_F(Trial, ASiteThatMayMissMustNotHaveDelayed) {
  const auto play = [&] {
    return run({records(hello()), records(passed(), FakeStep::WaitsFor::kSend),
                state(MachineState::kOff)})
        .outcome;
  };
  plan_.guest.widen.resize(1);
  plan_.guest.widen[0].site = "f";
  EXPECT_EQ(play(), Outcome::kBroken);
  plan_.guest.widen[0].may_miss = true;
  EXPECT_EQ(play(), Outcome::kPassed);
}

TEST_F(Trial, RecordsOfTheSerialFallbackCount) {
  FakeStep serial;
  serial.activity.records_serial = hello() + passed();
  EXPECT_EQ(run({serial, state(MachineState::kOff)}).outcome, Outcome::kPassed);
}

TEST_F(Trial, FindingSurvivesThePanicThatFollows) {
  const Verdict verdict = run({records(hello()), records(found()), state(MachineState::kCrashed),
                               state(MachineState::kOff, FakeStep::WaitsFor::kResume)});
  EXPECT_EQ(verdict.outcome, Outcome::kFound) << verdict.reason;
  EXPECT_EQ(fake_->log().at(0)->resumes, 1);
  EXPECT_THAT(fake_->log().at(0)->monitor, testing::Contains("cont").Times(0));
}

// Whoever asked has an answer only then.
TEST_F(Trial, TheMachineIsLookedAtBeforeTheGuestHearsOfItsFinding) {
  Hello again;
  const Verdict verdict =
      run({records(hello()), records(found() + encode(again)),
           records(passed(), FakeStep::WaitsFor::kSend), state(MachineState::kOff)});
  EXPECT_EQ(verdict.outcome, Outcome::kFound) << verdict.reason;
  EXPECT_EQ(fake_->log().at(0)->sent.size(), 2U);
  EXPECT_THAT(fake_->log().at(0)->monitor, testing::Contains("info registers -a").Times(1));
  EXPECT_FALSE(result_.machine_evidence.empty());
}

TEST_F(Trial, AHelloWithoutAKernelAsksTheHostToLook) {
  const Verdict verdict =
      run({records(hello()), records(encode(Hello{}), FakeStep::WaitsFor::kSend),
           records(found() + passed(), FakeStep::WaitsFor::kSend), state(MachineState::kOff)});
  EXPECT_EQ(verdict.outcome, Outcome::kFound) << verdict.reason;
  EXPECT_EQ(result_.hello.kernel, "6.1.192");
  EXPECT_THAT(fake_->log().at(0)->monitor, testing::Contains("info registers -a").Times(1));
}

TEST_F(Trial, APassLeavesTheMachineAlone) {
  run({records(hello()), records(passed(), FakeStep::WaitsFor::kSend), state(MachineState::kOff)});
  EXPECT_TRUE(fake_->log().at(0)->monitor.empty());
}

TEST_F(Trial, TheFirstFindingIsDumpedWhenAskedFor) {
  run({records(hello()), records(found()), state(MachineState::kOff)});
  EXPECT_TRUE(fake_->log().at(0)->dumps.empty());
  plan_.dump = true;
  run({records(hello()), records(found() + found()), state(MachineState::kOff)});
  EXPECT_EQ(fake_->log().at(0)->dumps.size(), 1U);
}

TEST_F(Trial, PanicTextThatComesAfterTheResumeIsRead) {
  FakeStep late = console(
      "Kernel panic - not syncing: sysrq triggered crash\nCPU: 0 PID: 1 Comm: x\n"
      "---[ end Kernel panic - not syncing: sysrq triggered crash ]---\n");
  late.waits_for = FakeStep::WaitsFor::kResume;
  late.activity.state = MachineState::kRunning;
  const Verdict verdict =
      run({records(hello()), state(MachineState::kCrashed), late}, short_deadlines());
  ASSERT_EQ(verdict.outcome, Outcome::kFound) << verdict.reason;
  EXPECT_THAT(verdict.findings[0].title, HasSubstr("panic"));
}

TEST_F(Trial, NothingFromTheGuestIsABootFailure) {
  const Verdict verdict = run({console("SeaBIOS\n")}, short_deadlines());
  EXPECT_EQ(verdict.outcome, Outcome::kBroken);
  EXPECT_THAT(verdict.reason, HasSubstr("boot failure"));
  EXPECT_THAT(verdict.reason, HasSubstr("SeaBIOS"));
}

TEST_F(Trial, SilenceGetsAnNmiAndIsBrokenWithoutAnswer) {
  plan_.guest.seconds = 60;
  const Verdict verdict = run({records(hello())}, short_deadlines());
  EXPECT_EQ(verdict.outcome, Outcome::kBroken);
  EXPECT_EQ(fake_->log().at(0)->nmis, 1);
}

// The kernel panics at our NMI, and with panic=1 the VM is off before the message's time is over.
TEST_F(Trial, WhoPanicsAtTheNmiWasSilent) {
  plan_.guest.seconds = 60;
  const Verdict verdict =
      run({records(hello()), state(MachineState::kCrashed, FakeStep::WaitsFor::kNmi),
           state(MachineState::kOff)},
          short_deadlines());
  EXPECT_EQ(fake_->log().at(0)->nmis, 1);
  EXPECT_EQ(verdict.outcome, Outcome::kBroken);
  EXPECT_THAT(verdict.reason, HasSubstr("went silent"));
}

TEST_F(Trial, KilledQemuIsBrokenEvenAfterAFinding) {
  FakeStep died = state(MachineState::kHostFailed);
  died.activity.host_failure = "QEMU was killed by signal 9";
  const Verdict verdict = run({records(hello()), records(found()), died});
  EXPECT_EQ(verdict.outcome, Outcome::kBroken);
  EXPECT_THAT(verdict.reason, HasSubstr("signal 9"));
  EXPECT_EQ(verdict.findings.size(), 1U);
}

// Between two looks at the host, a second apart, a vCPU waited for 50 s.
TEST_F(Trial, HungTaskOfAStarvedGuestIsBroken) {
  double waited = 0;
  FakeStep hung = console(
      "[   30.100000] INFO: task mover:73 blocked for more than 20 seconds.\n"
      "[   30.200000] task:mover state:D stack:0 pid:73\n[   30.300000] Call Trace:\n"
      "[   30.400000]  f+0x1/0x2\n");
  hung.after = std::chrono::milliseconds(1200);
  FakeScript script;
  script.steps = {records(hello()), hung, records(passed()), state(MachineState::kOff)};
  FakeScript starved = script;
  starved.vcpu_times = [&waited] { return std::vector<VcpuTime>{{9, waited += 50}, {9, 0}}; };
  FakeHypervisor fake({starved, script});
  plan_.guest.seconds = 60;
  const auto unconfirmed = run_trial(plan_, fake, {}, {});
  ASSERT_TRUE(unconfirmed) << unconfirmed.error().message;
  EXPECT_EQ(unconfirmed->verdict.outcome, Outcome::kBroken);
  EXPECT_THAT(unconfirmed->verdict.reason, HasSubstr("vCPU 0 ran for 0.0 of"));
  EXPECT_EQ(unconfirmed->verdict.findings.size(), 1U);
  const auto unwatched = run_trial(plan_, fake, {}, {});
  ASSERT_TRUE(unwatched) << unwatched.error().message;
  EXPECT_EQ(unwatched->verdict.outcome, Outcome::kFound);
}

// QEMU says nothing when it cannot write the console, so a report may be missing.
TEST_F(Trial, FullDiskIsBroken) {
  std::filesystem::create_directories(directory_);
  std::filesystem::create_symlink("/dev/full", directory_ / "records.jsonl");
  const Verdict verdict = run(
      {records(hello()), records(passed(), FakeStep::WaitsFor::kSend), state(MachineState::kOff)});
  EXPECT_EQ(verdict.outcome, Outcome::kBroken);
  EXPECT_THAT(verdict.reason, HasSubstr("is the disk full?"));
}

TEST_F(Trial, VmThatDoesNotStartIsBroken) {
  FakeScript script;
  script.start_error = "no space left on device";
  FakeHypervisor fake({script});
  auto result = run_trial(plan_, fake, {}, {}, long_deadlines());
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->verdict.outcome, Outcome::kBroken);
  EXPECT_THAT(result->verdict.reason, HasSubstr("no space left"));
}

TEST_F(Trial, GarbageBetweenRecordsDoesNotMatter) {
  const std::string junk(300000, '\xfe');
  const Verdict verdict = run({records(junk + "\n" + hello() + "{\"x\":" + "\x1eMMQ1 zz\n"),
                               records(junk), records("\n" + passed()), state(MachineState::kOff)});
  EXPECT_EQ(verdict.outcome, Outcome::kPassed) << verdict.reason;
  EXPECT_GT(result_.channel.garbage_bytes, 300000U);
}

TEST_F(Trial, ConsoleFloodEndsTheTrial) {
  const std::string line(1023, 'x');
  std::string chunk;
  for (int i = 0; i < 512; ++i) chunk += line + "\n";
  const Verdict verdict = run({records(hello()), console(chunk), console(chunk), console(chunk)});
  EXPECT_EQ(verdict.outcome, Outcome::kBroken);
  EXPECT_THAT(verdict.reason, HasSubstr("flooded"));
}

TEST_F(Trial, EndlessFindingsAreBounded) {
  plan_.guest.seconds = 60;
  std::string many;
  for (int i = 0; i < 200; ++i) {
    FindingRecord finding;
    finding.kind = "hang";
    // Words: a number is no part of what makes a bug.
    finding.title =
        std::string("hang ") + static_cast<char>('g' + i % 15) + static_cast<char>('g' + i / 15);
    many += encode(finding);
  }
  const Verdict verdict = run({records(hello()), records(many), state(MachineState::kOff)});
  EXPECT_EQ(verdict.findings.size(), kMaxFindings);
}

TEST_F(Trial, InterruptIsBroken) {
  FakeScript script;
  script.steps = {records(hello())};
  FakeHypervisor fake({script});
  auto result = run_trial(
      plan_, fake, {}, [] { return true; }, long_deadlines());
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->verdict.reason, "interrupted");
  EXPECT_TRUE(fake.log().at(0)->destroyed);
}

TEST_F(Trial, UnwritableDirectoryIsAnError) {
  plan_.directory = "/proc/mmquake/trial";
  FakeHypervisor fake({FakeScript{}});
  EXPECT_FALSE(run_trial(plan_, fake, {}, {}, long_deadlines()));
}

TEST(DetectorScale, IsBounded) {
  EXPECT_DOUBLE_EQ(detector_scale(1), 1);
  EXPECT_DOUBLE_EQ(detector_scale(8), 2);
  EXPECT_DOUBLE_EQ(detector_scale(1000), 6);
}

}  // namespace
}  // namespace mmquake
