// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/campaign/machine_evidence.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <iterator>

#include "host/machine/fake_hypervisor.h"

namespace mmquake {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

// As QEMU 7.2 prints them, most lines left out.
constexpr const char* kRegisters =
    "\r\nCPU#0\r\nRAX=ffffffff81881ef0 RBX=ffffffff82a11780\r\n"
    "RIP=ffffffff81881f0b RFL=00000246 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=1\r\n"
    "\r\nCPU#1\r\nRIP=00000000004a3b12 RFL=00000246 [---Z-P-] CPL=3 II=0 A20=1 SMM=0 HLT=0\r\n"
    "\r\nCPU#2\r\nRIP=ffffffffc0000010 RFL=00000246 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=0\r\n";

TEST(VcpuPlaces, NameTheKernelsCodeAndNothingElse) {
  const auto place = [](std::uint64_t address) {
    return std::string(address == 0xffffffff81881f0b ? "default_idle+0xb" : "");
  };
  EXPECT_THAT(vcpu_places(kRegisters, place),
              ElementsAre("vCPU 0 in default_idle+0xb, halted", "vCPU 1 in user mode",
                          "vCPU 2 in 0xffffffffc0000010"));
  EXPECT_TRUE(vcpu_places("", place).empty());
  EXPECT_TRUE(vcpu_places("CPU#0\r\nRIP=nonsense", place).empty());
}

class Evidence : public testing::Test {
 protected:
  Evidence() {
    plan_.directory =
        fs::temp_directory_path() / ("machine_evidence_test." + std::to_string(getpid()));
    plan_.kernel.name = "specimen";
    plan_.kernel.dir = "/cache/kernels/1234";
    plan_.kernel.key = "1234";
    plan_.kernel.vmlinux = "/cache/kernels/1234/vmlinux";
    fs::create_directories(plan_.directory);
  }
  Evidence(const Evidence&) = delete;
  Evidence& operator=(const Evidence&) = delete;
  ~Evidence() override { fs::remove_all(plan_.directory); }

  // QEMU's monitor.
  Result<std::string> answer(const std::string& command) {
    if (refuses_ == command) return broken("the monitor is gone");
    if (command == "info status") return "VM status: " + status_ + "\r\n";
    if (command == "info registers -a") return std::string(kRegisters);
    return std::string();
  }

  // What was asked of the monitor.
  std::vector<std::string> take(bool crashed = false) {
    FakeScript script;
    script.monitor = [this](const std::string& command) { return answer(command); };
    script.dump = [this](const fs::path& file) -> Result<> {
      if (!dump_error_.empty()) return broken(dump_error_);
      std::ofstream(file) << "KDUMP   ...";
      return {};
    };
    FakeHypervisor fake({script});
    auto machine = fake.start({});
    MachineEvidence evidence(plan_);
    EXPECT_TRUE(evidence.take(**machine, crashed));
    EXPECT_FALSE(evidence.take(**machine, crashed)) << "once only";
    lines_ = evidence.lines();
    return fake.log().at(0)->monitor;
  }
  std::string file(const char* name) const {
    std::ifstream in(plan_.directory / name);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  }

  TrialPlan plan_;
  std::string status_ = "paused";
  std::string refuses_;
  std::string dump_error_;
  std::vector<std::string> lines_;
};

TEST_F(Evidence, RegistersAreTakenWhileTheMachineStands) {
  EXPECT_THAT(take(), ElementsAre("stop", "info status", "info status", "info cpus",
                                  "info registers -a", "cont"));
  EXPECT_THAT(file("registers.txt"), HasSubstr("RIP=ffffffff81881f0b"));
  EXPECT_THAT(file("registers.txt"), HasSubstr("VM status: paused\n"));
  EXPECT_THAT(lines_, ElementsAre("registers.txt: the registers of all vCPUs",
                                  "vCPU 0 in 0xffffffff81881f0b, halted", "vCPU 1 in user mode",
                                  "vCPU 2 in 0xffffffffc0000010"));
}

// Whether it panicked before we looked, or while we did.
TEST_F(Evidence, AGuestThatPanickedDoesNotRunAgain) {
  EXPECT_THAT(take(true), Not(Contains("stop")));
  status_ = "paused (guest-panicked)";
  EXPECT_THAT(take(), Not(Contains("cont")));
}

TEST_F(Evidence, ADumpSaysHowToOpenIt) {
  plan_.dump = true;
  take();
  EXPECT_EQ(file("vmcore"), "KDUMP   ...");
  EXPECT_FALSE(fs::exists(plan_.directory / "vmcore.flat"));
  EXPECT_THAT(lines_, Contains("  mmquake kernel debug-info specimen"));
  EXPECT_THAT(lines_, Contains("  crash /cache/debug/1234.1/vmlinux " +
                               (plan_.directory / "vmcore").string()));
  EXPECT_THAT(lines_.back(), HasSubstr("not with drgn: no init_top_pgt")) << "no vmlinux to ask";
}

TEST_F(Evidence, WhatCannotBeTakenIsSaidAndTheGuestGoesOn) {
  plan_.dump = true;
  dump_error_ = "no room\x1b[2J";
  refuses_ = "info registers -a";
  EXPECT_EQ(take().back(), "cont");
  EXPECT_THAT(lines_, ElementsAre("no registers: the monitor is gone", "no dump: no room\\x1b[2J"));
  EXPECT_FALSE(fs::exists(plan_.directory / "vmcore"));
}

}  // namespace
}  // namespace mmquake
