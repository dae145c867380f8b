// SPDX-License-Identifier: GPL-2.0-or-later
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <fstream>
#include <functional>
#include <sstream>
#include <thread>

#include "host/machine/libvirt_hypervisor.h"
#include "host/machine/reaper.h"
#include "host/machine/test_guest.h"
#include "host/machine/vm_root.h"
#include "host/plan/directories.h"

namespace mmquake {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using testing::HasSubstr;

std::string command_line(const std::string& pid) {
  std::ifstream file("/proc/" + pid + "/cmdline", std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();  // catches the throw for a process that has just ended
  return text.str();
}

// The pid of the QEMU whose arguments name `part`; 0 if there is none.
pid_t find_qemu(const std::string& part) {
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const std::string pid = entry.path().filename().string();
    if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
    const std::string line = command_line(pid);
    const std::string program = line.substr(0, line.find('\0'));
    if (program.find("qemu-system") != std::string::npos && line.find(part) != std::string::npos) {
      return static_cast<pid_t>(std::stol(pid));
    }
  }
  return 0;
}

// Polls /proc: nobody tells us of another process's grandchildren.
bool becomes_true(const std::function<bool()>& condition, steady_clock::duration patience) {
  const auto deadline = steady_clock::now() + patience;
  while (!condition()) {
    if (steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(milliseconds(20));
  }
  return true;
}

std::vector<fs::path> roots() {
  return find_roots({runtime_dir(), "/tmp"});
}

class LibvirtHypervisorTest : public testing::Test {
 protected:
  static void TearDownTestSuite() { hypervisor.reset(); }

  void SetUp() override {
    auto kernel = test_kernel();
    if (!kernel && kernel.error().kind == ErrorKind::kSkipped) {
      GTEST_SKIP() << kernel.error().message;
    }
    ASSERT_TRUE(kernel) << kernel.error().message;
    directory_ =
        fs::path(testing::TempDir()) /
        (std::string("vm-") + testing::UnitTest::GetInstance()->current_test_info()->name() + "-" +
         std::to_string(getpid()));
  }
  void TearDown() override { fs::remove_all(directory_); }

  std::unique_ptr<Machine> boot(const std::string& word, const MachineDevices& devices = {}) {
    if (!hypervisor) {
      auto opened = LibvirtHypervisor::open();
      EXPECT_TRUE(opened) << opened.error().message;
      if (!opened) return nullptr;
      hypervisor = std::move(*opened);
    }
    auto request = test_boot("vm-" + word, word, directory_);
    EXPECT_TRUE(request) << request.error().message;
    if (!request) return nullptr;
    request->machine.devices = devices;
    request->monitor_limit = monitor_limit_;
    auto machine = hypervisor->start(*request);
    EXPECT_TRUE(machine) << machine.error().message;
    return machine ? std::move(*machine) : nullptr;
  }

  // Reads until `enough` or the deadline; everything is in seen_.
  bool follow(Machine& machine, const std::function<bool()>& enough,
              seconds patience = seconds(90)) {
    const auto deadline = steady_clock::now() + patience;
    while (!enough()) {
      if (steady_clock::now() > deadline) return false;
      auto activity = machine.wait(milliseconds(200));
      EXPECT_TRUE(activity) << activity.error().message;
      if (!activity) return false;
      seen_.console += activity->console;
      seen_.records_virtio += activity->records_virtio;
      seen_.records_serial += activity->records_serial;
      seen_.state = activity->state;
      seen_.host_failure = activity->host_failure;
    }
    return true;
  }
  bool said(const char* text) const { return seen_.console.find(text) != std::string::npos; }

  static std::unique_ptr<LibvirtHypervisor> hypervisor;
  milliseconds monitor_limit_ = seconds(60);
  fs::path directory_;
  MachineActivity seen_;
};

std::unique_ptr<LibvirtHypervisor> LibvirtHypervisorTest::hypervisor;

TEST_F(LibvirtHypervisorTest, SeesAPowerOff) {
  auto machine = boot("off");
  ASSERT_TRUE(machine);
  ASSERT_TRUE(follow(*machine, [&] { return seen_.state != MachineState::kRunning; }))
      << seen_.console;
  EXPECT_EQ(seen_.state, MachineState::kOff) << seen_.host_failure;
  EXPECT_THAT(seen_.console, HasSubstr("mmquake: init"));
  EXPECT_THAT(seen_.console, HasSubstr("Power down"));
  EXPECT_THAT(hypervisor->version(), HasSubstr("libvirt"));
  EXPECT_TRUE(fs::exists(directory_ / "domain.xml"));
}

TEST_F(LibvirtHypervisorTest, GivesTheGuestItsNodes) {
  auto machine = boot("off");
  ASSERT_TRUE(machine);
  ASSERT_TRUE(follow(*machine, [&] { return seen_.state != MachineState::kRunning; }));
  EXPECT_THAT(seen_.console, HasSubstr("Initmem setup node 1"));
  EXPECT_THAT(seen_.console, testing::Not(HasSubstr("WARNING")));
}

TEST_F(LibvirtHypervisorTest, SeesAPanicAndLetsItPrintItsEnd) {
  auto machine = boot("panic");
  ASSERT_TRUE(machine);
  ASSERT_TRUE(follow(*machine, [&] { return seen_.state != MachineState::kRunning; }));
  ASSERT_EQ(seen_.state, MachineState::kCrashed) << seen_.host_failure << seen_.console;
  EXPECT_THAT(seen_.console, HasSubstr("Kernel panic - not syncing"));
  EXPECT_THAT(seen_.console, testing::Not(HasSubstr("Rebooting in")));
  ASSERT_TRUE(machine->resume());
  // panic=1: the guest restarts after its last words, and that ends the VM.
  ASSERT_TRUE(follow(*machine, [&] { return seen_.state == MachineState::kOff; })) << seen_.console;
  EXPECT_THAT(seen_.console, HasSubstr("Rebooting in 1 seconds"));
}

TEST_F(LibvirtHypervisorTest, TellsAKilledQemuFromAPowerOff) {
  auto machine = boot("spin");
  ASSERT_TRUE(machine);
  ASSERT_TRUE(follow(*machine, [&] { return said("mmquake: init"); }));
  const pid_t pid = find_qemu("guest=vm-spin");
  ASSERT_GT(pid, 0);
  ASSERT_EQ(kill(pid, SIGKILL), 0);
  ASSERT_TRUE(follow(
      *machine, [&] { return seen_.state != MachineState::kRunning; }, seconds(5)));
  EXPECT_EQ(seen_.state, MachineState::kHostFailed);
  EXPECT_THAT(seen_.host_failure, HasSubstr("signal 9"));
}

TEST_F(LibvirtHypervisorTest, DoesNotWaitForEverForAStoppedQemu) {
  monitor_limit_ = seconds(3);
  auto machine = boot("spin");
  ASSERT_TRUE(machine);
  ASSERT_TRUE(follow(*machine, [&] { return said("mmquake: init"); }));
  const pid_t pid = find_qemu("guest=vm-spin");
  ASSERT_GT(pid, 0);
  ASSERT_EQ(kill(pid, SIGSTOP), 0);
  const auto asked = machine->inject_nmi();
  ASSERT_FALSE(asked);
  EXPECT_THAT(asked.error().message, HasSubstr("did not answer for 3 s"));
  ASSERT_TRUE(follow(
      *machine, [&] { return seen_.state != MachineState::kRunning; }, seconds(20)));
  EXPECT_EQ(seen_.state, MachineState::kHostFailed);
}

TEST_F(LibvirtHypervisorTest, TellsATerminatedQemuFromAPowerOff) {
  auto machine = boot("spin");
  ASSERT_TRUE(machine);
  ASSERT_TRUE(follow(*machine, [&] { return said("mmquake: init"); }));
  ASSERT_EQ(kill(find_qemu("guest=vm-spin"), SIGTERM), 0);
  ASSERT_TRUE(follow(
      *machine, [&] { return seen_.state != MachineState::kRunning; }, seconds(5)));
  EXPECT_EQ(seen_.state, MachineState::kHostFailed);
  EXPECT_THAT(seen_.host_failure, HasSubstr("terminating on signal 15"));
}

TEST_F(LibvirtHypervisorTest, DestroysARunningVmTwice) {
  auto machine = boot("spin");
  ASSERT_TRUE(machine);
  EXPECT_GT(find_qemu("guest=vm-spin"), 0);
  ASSERT_TRUE(follow(*machine, [&] { return said("mmquake: init"); }));
  const auto vcpus = machine->vcpu_times();
  ASSERT_FALSE(vcpus.empty()) << "QEMU does not name its threads, or the host has no schedstat";
  EXPECT_GT(vcpus[0].ran_s, 0);
  ASSERT_TRUE(machine->destroy());
  EXPECT_TRUE(machine->vcpu_times().empty());
  ASSERT_TRUE(machine->destroy());
  EXPECT_EQ(find_qemu("guest=vm-spin"), 0);
  EXPECT_EQ(machine->wait(milliseconds(0))->state, MachineState::kOff);
}

TEST_F(LibvirtHypervisorTest, StartsANamesakeAtOnce) {
  for (int i = 0; i < 2; ++i) {
    auto machine = boot("off");
    ASSERT_TRUE(machine);
    ASSERT_TRUE(follow(*machine, [&] { return seen_.state != MachineState::kRunning; }));
    ASSERT_TRUE(machine->destroy());
    EXPECT_EQ(find_qemu("guest=vm-off"), 0);
    seen_ = {};
  }
}

TEST_F(LibvirtHypervisorTest, TalksOnBothChannelsBothWays) {
  auto machine = boot("echo");
  ASSERT_TRUE(machine);
  ASSERT_TRUE(follow(*machine, [&] {
    return seen_.records_virtio == "hello virtio\n" && seen_.records_serial == "hello serial\n";
  })) << seen_.console;
  const std::string big(100000, 'x');
  ASSERT_TRUE(machine->send(big + "\n"));
  EXPECT_TRUE(follow(*machine, [&] { return seen_.records_virtio.size() == 13 + 100001; }));
  EXPECT_TRUE(follow(*machine, [&] { return seen_.records_serial.size() == 13 + 100001; }));
  EXPECT_THAT(seen_.records_serial, testing::EndsWith("xxx\n"));
  ASSERT_TRUE(machine->send("q"));
  ASSERT_TRUE(follow(*machine, [&] { return seen_.state != MachineState::kRunning; }));
  EXPECT_EQ(seen_.state, MachineState::kOff) << seen_.host_failure;
}

TEST_F(LibvirtHypervisorTest, TalksOverTtyS1Alone) {
  auto machine = boot("echo", {.virtio_serial = false, .serial = true, .pvpanic = true});
  ASSERT_TRUE(machine);
  ASSERT_TRUE(follow(*machine, [&] { return seen_.records_serial == "hello serial\n"; }))
      << seen_.console;
  EXPECT_TRUE(follow(*machine, [&] { return said("test guest: no virtio"); }));
  ASSERT_TRUE(machine->send("back\n"));
  EXPECT_TRUE(follow(*machine, [&] { return seen_.records_serial == "hello serial\nback\n"; }));
  EXPECT_EQ(seen_.records_virtio, "");
}

TEST_F(LibvirtHypervisorTest, TalksOverVirtioAlone) {
  auto machine = boot("echo", {.virtio_serial = true, .serial = false, .pvpanic = false});
  ASSERT_TRUE(machine);
  ASSERT_TRUE(follow(*machine, [&] { return seen_.records_virtio == "hello virtio\n"; }))
      << seen_.console;
  EXPECT_TRUE(follow(*machine, [&] { return said("test guest: no serial"); }));
  ASSERT_TRUE(machine->send("q"));
  ASSERT_TRUE(follow(*machine, [&] { return seen_.state != MachineState::kRunning; }));
  EXPECT_EQ(seen_.state, MachineState::kOff) << seen_.host_failure;
}

TEST_F(LibvirtHypervisorTest, NeverBlocksOnADeafGuest) {
  auto machine = boot("deaf");
  ASSERT_TRUE(machine);
  ASSERT_TRUE(follow(*machine, [&] { return said("test guest: deaf"); })) << seen_.console;
  const std::string message(64 << 10, 'y');
  bool refused = false;
  for (int i = 0; i < 200 && !refused; ++i) {
    refused = !machine->send(message);  // one that blocks meets the test's own time limit
  }
  EXPECT_TRUE(refused);
}

TEST_F(LibvirtHypervisorTest, AnswersTheMonitor) {
  auto machine = boot("idle");
  ASSERT_TRUE(machine);
  auto answer = machine->monitor("info status");
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_THAT(*answer, HasSubstr("running"));
  EXPECT_TRUE(machine->inject_nmi());
}

TEST_F(LibvirtHypervisorTest, KeepsUpWithAFlood) {
  auto machine = boot("flood");
  ASSERT_TRUE(machine);
  std::size_t bytes = 0;
  const auto deadline = steady_clock::now() + seconds(60);
  // TCG's serial port is slow: this is seconds of it.
  const std::size_t enough = 512 << 10;
  while (bytes < enough && steady_clock::now() < deadline) {
    auto activity = machine->wait(milliseconds(200));
    ASSERT_TRUE(activity);
    ASSERT_LE(activity->console.size(), 1U << 20);
    bytes += activity->console.size();
  }
  EXPECT_GE(bytes, enough);
  // Nothing is left behind that the guest wrote before now.
  const auto written = fs::file_size(directory_ / "console.log");
  while (bytes < written) {
    auto activity = machine->wait(milliseconds(200));
    ASSERT_TRUE(activity);
    ASSERT_FALSE(activity->console.empty());
    bytes += activity->console.size();
  }
}

TEST_F(LibvirtHypervisorTest, RestsWhileTheGuestRuns) {
  auto machine = boot("idle");
  ASSERT_TRUE(machine);
  ASSERT_TRUE(follow(*machine, [&] { return said("mmquake: init"); }));
  const auto cpu_ms = [] {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000 +
           (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000;
  };
  const auto before = cpu_ms();
  const auto until = steady_clock::now() + seconds(3);
  while (steady_clock::now() < until) ASSERT_TRUE(machine->wait(milliseconds(200)));
  EXPECT_LE(cpu_ms() - before, 60);  // 2 % of 3 s
}

TEST_F(LibvirtHypervisorTest, SaysWhichFileIsMissing) {
  auto first = boot("off");  // opens the hypervisor
  auto request = test_boot("none", "off", directory_);
  ASSERT_TRUE(request);
  request->bzimage = "/nowhere/bzImage";
  auto machine = hypervisor->start(*request);
  ASSERT_FALSE(machine);
  EXPECT_THAT(machine.error().message, HasSubstr("/nowhere/bzImage"));
}

TEST_F(LibvirtHypervisorTest, QuotesQemuWhenItRefuses) {
  auto first = boot("off");
  auto request = test_boot("refused", "off", directory_);
  ASSERT_TRUE(request);
  // A kernel that QEMU cannot read ends QEMU after it has become a daemon.
  request->bzimage = directory_ / "not-a-kernel";
  std::ofstream(request->bzimage) << "text";
  auto machine = hypervisor->start(*request);
  ASSERT_FALSE(machine);
  // QEMU's words, and not that libvirt has waited for it in vain.
  EXPECT_THAT(machine.error().message, HasSubstr("qemu: linux kernel too old"));
  EXPECT_EQ(find_qemu("guest=refused"), 0);
}

// However the orchestrator ends, its VMs and its root go.
class OrphanTest : public LibvirtHypervisorTest {
 protected:
  void run_and_kill(int signal_number) {
    if (IsSkipped()) return;
    int out[2] = {-1, -1};
    ASSERT_EQ(pipe(out), 0);
    const pid_t child = fork();
    if (child == 0) {
      dup2(out[1], STDOUT_FILENO);
      execl(MMQUAKE_ORPHAN, "mmquake", directory_.c_str(), nullptr);
      _exit(127);
    }
    close(out[1]);
    char line[8] = "";
    ASSERT_GT(read(out[0], line, sizeof(line)), 0) << "the orchestrator did not start a VM";
    close(out[0]);
    const pid_t qemu = find_qemu("guest=orphan");
    ASSERT_GT(qemu, 0);
    // Others may run VMs at the same time: the orphan's root is the one in its QEMU's arguments.
    std::string root;
    for (const fs::path& path : roots()) {
      if (command_line(std::to_string(qemu)).find(path.string() + "/") != std::string::npos) {
        root = path;
      }
    }
    ASSERT_NE(root, "");
    ASSERT_EQ(kill(child, signal_number), 0);
    ASSERT_EQ(waitpid(child, nullptr, 0), child);
    EXPECT_TRUE(becomes_true([&] { return find_qemu(root) == 0; }, seconds(5)));
    EXPECT_TRUE(becomes_true([&] { return !fs::exists(root); }, seconds(5)));
  }
};

TEST_F(OrphanTest, LeavesNothingAfterSigkill) {
  run_and_kill(SIGKILL);
}
TEST_F(OrphanTest, LeavesNothingAfterSigterm) {
  run_and_kill(SIGTERM);
}
TEST_F(OrphanTest, LeavesNothingAfterSigint) {
  run_and_kill(SIGINT);
}

}  // namespace
}  // namespace mmquake
