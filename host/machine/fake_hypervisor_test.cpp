// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/machine/fake_hypervisor.h"

#include <gtest/gtest.h>

namespace mmquake {
namespace {

using std::chrono::milliseconds;
using WaitsFor = FakeStep::WaitsFor;

FakeStep says(const std::string& console, WaitsFor waits_for = WaitsFor::kNothing) {
  FakeStep step;
  step.activity.console = console;
  step.waits_for = waits_for;
  return step;
}

FakeStep becomes(MachineState state, WaitsFor waits_for = WaitsFor::kNothing) {
  FakeStep step;
  step.activity.state = state;
  step.waits_for = waits_for;
  return step;
}

TEST(FakeHypervisor, PlaysItsStepsInOrder) {
  FakeHypervisor fake({{{says("one"), says("two"), becomes(MachineState::kOff)}, ""}});
  auto machine = fake.start({});
  ASSERT_TRUE(machine);
  EXPECT_EQ((*machine)->wait(milliseconds(0))->console, "one");
  EXPECT_EQ((*machine)->wait(milliseconds(0))->console, "two");
  EXPECT_EQ((*machine)->wait(milliseconds(0))->state, MachineState::kOff);
  EXPECT_EQ((*machine)->wait(milliseconds(0))->state, MachineState::kOff);
}

TEST(FakeHypervisor, HoldsAStepBackUntilItsCause) {
  milliseconds now{0};
  FakeHypervisor fake(
      {{{says("answer", WaitsFor::kSend), becomes(MachineState::kCrashed, WaitsFor::kNmi),
         says("end", WaitsFor::kResume)},
        ""}});
  fake.set_idle([&](milliseconds time) { now += time; });
  auto machine = fake.start({});
  ASSERT_TRUE(machine);
  EXPECT_EQ((*machine)->wait(milliseconds(70))->console, "");
  EXPECT_EQ(now, milliseconds(70));
  ASSERT_TRUE((*machine)->send("plan"));
  EXPECT_EQ((*machine)->wait(milliseconds(1))->console, "answer");
  ASSERT_TRUE((*machine)->inject_nmi());
  EXPECT_EQ((*machine)->wait(milliseconds(1))->state, MachineState::kCrashed);
  ASSERT_TRUE((*machine)->resume());
  EXPECT_EQ((*machine)->wait(milliseconds(1))->console, "end");
  EXPECT_EQ(fake.log()[0]->sent, std::vector<std::string>{"plan"});
  EXPECT_EQ(fake.log()[0]->nmis, 1);
  EXPECT_EQ(fake.log()[0]->resumes, 1);
}

TEST(FakeHypervisor, DelaysAStepOnTheTestsClock) {
  milliseconds now{0};
  FakeStep late = says("late");
  late.after = milliseconds(500);
  FakeHypervisor fake({{{late}, ""}});
  fake.set_idle([&](milliseconds time) { now += time; });
  auto machine = fake.start({});
  EXPECT_EQ((*machine)->wait(milliseconds(200))->console, "");
  EXPECT_EQ((*machine)->wait(milliseconds(200))->console, "");
  EXPECT_EQ((*machine)->wait(milliseconds(200))->console, "late");
  EXPECT_EQ(now, milliseconds(500));
}

TEST(FakeHypervisor, TakesOneScriptAStartAndRepeatsTheLast) {
  FakeHypervisor fake({{{}, "no such accelerator"}, {{says("second")}, ""}});
  EXPECT_FALSE(fake.start({}));
  EXPECT_EQ((*fake.start({}))->wait(milliseconds(0))->console, "second");
  EXPECT_EQ((*fake.start({}))->wait(milliseconds(0))->console, "second");
  ASSERT_EQ(fake.log().size(), 3U);
  EXPECT_TRUE(fake.log()[2]->destroyed);
}

TEST(FakeHypervisor, KeepsAHostFailureAfterDestroy) {
  FakeStep dead = becomes(MachineState::kHostFailed);
  dead.activity.host_failure = "killed";
  FakeHypervisor fake({{{dead}, ""}});
  auto machine = fake.start({});
  EXPECT_EQ((*machine)->wait(milliseconds(0))->host_failure, "killed");
  ASSERT_TRUE((*machine)->destroy());
  EXPECT_EQ((*machine)->wait(milliseconds(0))->state, MachineState::kHostFailed);
}

}  // namespace
}  // namespace mmquake
