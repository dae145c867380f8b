// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/machine/vm_status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <libvirt/libvirt.h>
#include <poll.h>

namespace mmquake {
namespace {

using testing::HasSubstr;

siginfo_t ended(int code, int status) {
  siginfo_t info{};
  info.si_code = code;
  info.si_status = status;
  return info;
}

bool has_news(const VmStatus& status) {
  pollfd fd{status.fd(), POLLIN, 0};
  return poll(&fd, 1, 0) == 1;
}

TEST(VmStatus, GuestPowerOff) {
  VmStatus status;
  EXPECT_FALSE(has_news(status));
  status.on_lifecycle(VIR_DOMAIN_EVENT_SHUTDOWN, VIR_DOMAIN_EVENT_SHUTDOWN_GUEST);
  EXPECT_EQ(status.state(), MachineState::kOff);
  status.on_exit(ended(CLD_KILLED, SIGKILL));  // libvirt ends it as it likes
  status.on_lifecycle(VIR_DOMAIN_EVENT_STOPPED, VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN);
  EXPECT_EQ(status.state(), MachineState::kOff);
  EXPECT_TRUE(has_news(status));
  status.clear();
  EXPECT_FALSE(has_news(status));
}

TEST(VmStatus, EndWithoutAReason) {
  VmStatus status;
  EXPECT_FALSE(status.has_exited(std::chrono::milliseconds(0)));
  status.on_exit(ended(CLD_EXITED, 0));
  EXPECT_TRUE(status.has_exited(std::chrono::milliseconds(0)));
  EXPECT_EQ(status.state(), MachineState::kRunning);
  status.on_lifecycle(VIR_DOMAIN_EVENT_STOPPED, VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN);
  EXPECT_EQ(status.state(), MachineState::kOff);
}

TEST(VmStatus, TerminatedByTheHost) {
  VmStatus status;
  status.on_lifecycle(VIR_DOMAIN_EVENT_SHUTDOWN, VIR_DOMAIN_EVENT_SHUTDOWN_HOST);
  status.on_lifecycle(VIR_DOMAIN_EVENT_STOPPED, VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN);
  EXPECT_EQ(status.state(), MachineState::kHostFailed);
  EXPECT_THAT(status.host_failure(), HasSubstr("signal"));
}

TEST(VmStatus, KilledQemuWhicheverComesFirst) {
  for (const bool exit_first : {true, false}) {
    VmStatus status;
    if (exit_first) status.on_exit(ended(CLD_KILLED, SIGKILL));
    status.on_lifecycle(VIR_DOMAIN_EVENT_STOPPED, VIR_DOMAIN_EVENT_STOPPED_FAILED);
    if (!exit_first) status.on_exit(ended(CLD_KILLED, SIGKILL));
    EXPECT_EQ(status.state(), MachineState::kHostFailed);
    EXPECT_FALSE(status.host_failure().empty());
  }
}

TEST(VmStatus, FailingQemu) {
  VmStatus status;
  status.on_exit(ended(CLD_EXITED, 1));
  EXPECT_EQ(status.state(), MachineState::kHostFailed);
  EXPECT_THAT(status.host_failure(), HasSubstr("exit code 1"));
}

TEST(VmStatus, DumpedQemu) {
  VmStatus status;
  status.on_exit(ended(CLD_DUMPED, SIGSEGV));
  EXPECT_THAT(status.host_failure(), HasSubstr("signal 11"));
}

TEST(VmStatus, OurOwnEndIsNeverAFailure) {
  VmStatus status;
  status.expect_end();
  status.on_exit(ended(CLD_KILLED, SIGKILL));
  EXPECT_EQ(status.state(), MachineState::kOff);
  status.on_lifecycle(VIR_DOMAIN_EVENT_STOPPED, VIR_DOMAIN_EVENT_STOPPED_FAILED);
  EXPECT_EQ(status.state(), MachineState::kOff);
  EXPECT_EQ(status.host_failure(), "");
}

TEST(VmStatus, CrashResumeOff) {
  VmStatus status;
  EXPECT_FALSE(status.leave_crash());
  status.on_lifecycle(VIR_DOMAIN_EVENT_CRASHED, VIR_DOMAIN_EVENT_CRASHED_PANICKED);
  EXPECT_EQ(status.state(), MachineState::kCrashed);
  EXPECT_TRUE(status.leave_crash());
  EXPECT_EQ(status.state(), MachineState::kRunning);
  status.return_to_crash();
  EXPECT_EQ(status.state(), MachineState::kCrashed);
  status.on_lifecycle(VIR_DOMAIN_EVENT_STOPPED, VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN);
  EXPECT_EQ(status.state(), MachineState::kOff);
}

TEST(VmStatus, AnEndIsFinal) {
  VmStatus status;
  status.on_lifecycle(VIR_DOMAIN_EVENT_STOPPED, VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN);
  status.on_lifecycle(VIR_DOMAIN_EVENT_CRASHED, VIR_DOMAIN_EVENT_CRASHED_PANICKED);
  status.fail("late");
  EXPECT_EQ(status.state(), MachineState::kOff);
  EXPECT_EQ(status.host_failure(), "");
}

}  // namespace
}  // namespace mmquake
