// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/campaign/starvation.h"

#include <gtest/gtest.h>

#include "host/machine/fake_hypervisor.h"

namespace mmquake {
namespace {

KernelReport report(std::string kind, std::string title = "") {
  return {std::move(kind), std::move(title), "", 0, std::nullopt};
}

TEST(StallSeconds, AreThoseThatTheGuestSets) {
  const DetectorTimes times = detector_times(1);
  EXPECT_EQ(stall_seconds(report("rcu-stall"), times), 10);
  EXPECT_EQ(stall_seconds(report("soft-lockup", "BUG: soft lockup in f"), times), 16);
  EXPECT_EQ(stall_seconds(report("soft-lockup", "BUG: workqueue lockup"), times), 30);
  EXPECT_EQ(stall_seconds(report("hard-lockup"), times), 8);
  EXPECT_EQ(stall_seconds(report("hung-task"), times), 20);
  EXPECT_EQ(stall_seconds(report("hung-task"), detector_times(6)), 40);
  for (const char* kind : {"warning", "oops", "kernel-bug", "panic", "lockdep", "nmi"}) {
    EXPECT_FALSE(stall_seconds(report(kind), times)) << kind;
  }
  FindingRecord finding;
  finding.kind = "hang";
  EXPECT_EQ(stall_seconds(finding, times), 20);
  finding.kind = "corruption";
  EXPECT_FALSE(stall_seconds(finding, times));
}

TEST(DetectorTimes, AreOrderedAndKeepToTheKernelsLimits) {
  for (double scale = 1; scale < 100; scale += 0.5) {
    const DetectorTimes times = detector_times(scale);
    EXPECT_LT(times.rcu_stall, times.soft_lockup);
    EXPECT_LT(times.soft_lockup, times.hung_task);
    EXPECT_LE(times.soft_lockup / 2, 60);
  }
}

// All measured, on four vCPUs and two cores.
TEST(Starvation, NeedsAVcpuThatHardlyRanAndWaited) {
  EXPECT_FALSE(starvation({20, {}})) << "nobody knows";
  EXPECT_FALSE(starvation({20, {{10, 10}, {10, 10}}})) << "four that spin, alone on the host";
  EXPECT_FALSE(starvation({20, {{5.4, 14.6}, {5.4, 14.6}}})) << "the same with one core and a bit";
  EXPECT_TRUE(starvation({20, {{3.2, 16.8}, {3.2, 16.8}}})) << "three VMs of four that spin";
  EXPECT_TRUE(starvation({20, {{1.2, 18.8}}})) << "a quarter of a core for four vCPUs";
  const auto starved = starvation({20, {{0.6, 15.2}, {0.4, 17.4}, {0.6, 13.6}}});
  ASSERT_TRUE(starved) << "the clean kernel had 'hung' tasks";
  EXPECT_EQ(*starved, "vCPU 1 ran for 0.4 of 20 s and waited 17.4 s for a core");
}

TEST(Starvation, IsNotIdleness) {
  EXPECT_FALSE(starvation({20, {{0.1, 0.1}, {0, 0}}})) << "a deadlock";
  EXPECT_FALSE(starvation({20, {{10, 10}, {0.1, 3}}})) << "a spinning vCPU and an idle one";
}

TEST(Starvation, OneVcpuIsEnough) {
  EXPECT_TRUE(starvation({20, {{20, 0}, {0, 20}, {20, 0}}})) << "the others wait for it";
}

// A machine whose only vCPU never gets a core.
class StarvedMachine {
 public:
  StarvedMachine() {
    FakeScript script;
    script.vcpu_times = [this] {
      ++asked;
      return std::vector<VcpuTime>{{0, 0, VcpuState::kRunnable}};
    };
    auto started = FakeHypervisor({script}).start({});
    machine = std::move(*started);
  }
  int asked = 0;
  std::unique_ptr<Machine> machine;
};

TEST(HostWatch, AsksOnceASecond) {
  StarvedMachine starved;
  HostWatch watch;
  for (int i = 0; i < 3; ++i) watch.tick(*starved.machine, 0);
  EXPECT_EQ(starved.asked, 1);
}

TEST(HostWatch, KnowsWhoSpeaksOfTime) {
  StarvedMachine starved;
  HostWatch watch;
  watch.tick(*starved.machine, 100);
  const DetectorTimes times = detector_times(1);
  EXPECT_EQ(watch.before_report(report("warning"), times).seconds, 0);
  EXPECT_EQ(watch.before_report(report("hung-task"), times).seconds, 20);
  FindingRecord hang;
  hang.kind = "hang";
  EXPECT_EQ(watch.before_finding(0, hang, times).seconds, 0) << "it never came";
  watch.note_finding();
  EXPECT_EQ(watch.before_finding(0, hang, times).seconds, 20);
  EXPECT_EQ(watch.silence().seconds, 0);
  watch.note_silence(60);
  EXPECT_EQ(watch.silence().seconds, 60);
}

}  // namespace
}  // namespace mmquake
