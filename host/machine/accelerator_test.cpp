// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/machine/accelerator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "guest/protocol/records.h"
#include "host/machine/fake_hypervisor.h"

namespace mmquake {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using testing::HasSubstr;

class AcceleratorTest : public testing::Test {
 protected:
  AcceleratorTest() {
    std::string name = (fs::path(testing::TempDir()) / "accel-XXXXXX").string();
    dir_ = mkdtemp(name.data());
    probe_.cache_file = dir_ / "cache" / "accelerator.json";
    probe_.kvm_device = dir_ / "kvm";
    probe_.boot_id_file = dir_ / "boot_id";
    probe_.scratch = dir_;
    probe_.now = [this] { return std::chrono::steady_clock::time_point(now_); };
    write(probe_.kvm_device, "");
    write(probe_.boot_id_file, "boot-1\n");
    kernel_.key = "k1";
  }
  void TearDown() override { fs::remove_all(dir_); }

  static void write(const fs::path& path, const std::string& text) { std::ofstream(path) << text; }

  FakeHypervisor hypervisor(std::vector<FakeStep> steps) {
    return FakeHypervisor({FakeScript{std::move(steps), ""}});
  }
  AcceleratorChoice choose(FakeHypervisor& fake, const std::string& mode = "auto") {
    fake.set_idle([this](milliseconds time) { now_ += time; });
    auto choice = choose_accelerator(mode, probe_, fake, kernel_, "/initramfs");
    EXPECT_TRUE(choice) << choice.error().message;
    return choice ? *choice : AcceleratorChoice{};
  }
  static FakeStep console(const std::string& text) {
    FakeStep step;
    step.activity.console = text;
    return step;
  }
  static FakeStep state(MachineState state) {
    FakeStep step;
    step.activity.state = state;
    return step;
  }

  fs::path dir_;
  AcceleratorProbe probe_;
  KernelArtifact kernel_;
  std::chrono::nanoseconds now_{0};
};

TEST_F(AcceleratorTest, TakesKvmWhenPid1Speaks) {
  // The marker may come in pieces.
  auto fake = hypervisor({console("[    0.1] Run /init\nmmqua"), console("ke: init\n")});
  const AcceleratorChoice choice = choose(fake);
  EXPECT_EQ(choice.accelerator, Accelerator::kKvm);
  EXPECT_EQ(choice.message, "");
  ASSERT_EQ(fake.log().size(), 1U);
  EXPECT_EQ(fake.log()[0]->request.accelerator, Accelerator::kKvm);
  EXPECT_TRUE(fake.log()[0]->destroyed);
}

TEST_F(AcceleratorTest, TakesKvmOnAHelloRecord) {
  FakeStep step;
  step.activity.records_serial = encode(Hello{});
  auto fake = hypervisor({step});
  EXPECT_EQ(choose(fake).accelerator, Accelerator::kKvm);
}

TEST_F(AcceleratorTest, TakesTcgWhenNoKernelSpeaks) {
  auto fake = hypervisor({console("SeaBIOS\n")});
  const AcceleratorChoice choice = choose(fake);
  EXPECT_EQ(choice.accelerator, Accelerator::kTcg);
  EXPECT_THAT(choice.message, HasSubstr("KVM is here but unusable"));
  EXPECT_THAT(choice.message, HasSubstr("20 s"));
  EXPECT_EQ(choice.message.find('\n'), std::string::npos);
}

TEST_F(AcceleratorTest, TakesTcgWhenTheGuestEndsEarly) {
  for (const auto end : {MachineState::kOff, MachineState::kCrashed}) {
    auto fake = hypervisor({state(end)});
    EXPECT_EQ(choose(fake).accelerator, Accelerator::kTcg);
    fs::remove(probe_.cache_file);
  }
}

TEST_F(AcceleratorTest, TakesTcgWhenQemuFails) {
  FakeStep step = state(MachineState::kHostFailed);
  step.activity.host_failure = "kvm: internal error";
  auto fake = hypervisor({step});
  EXPECT_THAT(choose(fake).message, HasSubstr("kvm: internal error"));
}

TEST_F(AcceleratorTest, BelievesTheLastWordsOfAVmThatEnded) {
  FakeStep step = state(MachineState::kOff);
  step.activity.console = "mmquake: init\n";
  auto fake = hypervisor({step});
  EXPECT_EQ(choose(fake).accelerator, Accelerator::kKvm);
}

TEST_F(AcceleratorTest, SaysThatTheDeviceIsMissing) {
  fs::remove(probe_.kvm_device);
  auto fake = hypervisor({});
  const AcceleratorChoice choice = choose(fake);
  EXPECT_EQ(choice.accelerator, Accelerator::kTcg);
  EXPECT_THAT(choice.message, HasSubstr("no KVM (there is no '"));
  EXPECT_TRUE(fake.log().empty());
}

TEST_F(AcceleratorTest, SaysThatTheDeviceCannotBeOpened) {
  fs::remove(probe_.kvm_device);
  fs::create_directory(probe_.kvm_device);  // refuses O_RDWR, to root as well
  auto fake = hypervisor({});
  EXPECT_THAT(choose(fake).message, HasSubstr("cannot be opened"));
  EXPECT_TRUE(fake.log().empty());
}

TEST_F(AcceleratorTest, AsksOnceForOneBootHypervisorAndKernel) {
  auto fake = hypervisor({console("mmquake: init\n")});
  choose(fake);
  EXPECT_EQ(choose(fake).accelerator, Accelerator::kKvm);
  EXPECT_EQ(fake.log().size(), 1U);
  kernel_.key = "k2";
  choose(fake);
  EXPECT_EQ(fake.log().size(), 2U);
  kernel_.key = "k1";  // is still known
  choose(fake);
  EXPECT_EQ(fake.log().size(), 2U);
  fake.set_version("QEMU 9");
  choose(fake);
  EXPECT_EQ(fake.log().size(), 3U);
  write(probe_.boot_id_file, "boot-2\n");
  choose(fake);
  EXPECT_EQ(fake.log().size(), 4U);
}

TEST_F(AcceleratorTest, KeepsAnUnusableAnswerToo) {
  auto hangs = hypervisor({});
  const std::string message = choose(hangs).message;
  auto works = hypervisor({console("mmquake: init\n")});
  EXPECT_EQ(choose(works).message, message);
  EXPECT_TRUE(works.log().empty());
}

TEST_F(AcceleratorTest, ForgetsAStartThatFailed) {
  FakeHypervisor fake({{{}, "disk full"}, {{console("mmquake: init\n")}, ""}});
  EXPECT_EQ(choose(fake).accelerator, Accelerator::kTcg);
  EXPECT_EQ(choose(fake).accelerator, Accelerator::kKvm);
}

TEST_F(AcceleratorTest, IgnoresABrokenCache) {
  fs::create_directories(probe_.cache_file.parent_path());
  for (const char* text :
       {"", "{", "[]", "7", R"({"boot_id":"boot-1","hypervisor":1,"kernels":[]})",
        R"({"boot_id":"boot-1","kernels":{"k1":7}})"}) {
    write(probe_.cache_file, text);
    auto fake = hypervisor({console("mmquake: init\n")});
    EXPECT_EQ(choose(fake).accelerator, Accelerator::kKvm) << text;
    EXPECT_EQ(fake.log().size(), 1U) << text;
  }
}

TEST_F(AcceleratorTest, LivesWithACacheThatIsAFolder) {
  fs::create_directories(probe_.cache_file);
  auto fake = hypervisor({console("mmquake: init\n")});
  EXPECT_EQ(choose(fake).accelerator, Accelerator::kKvm);
}

TEST_F(AcceleratorTest, TrustsNoCacheWithoutABootId) {
  fs::remove(probe_.boot_id_file);
  auto fake = hypervisor({console("mmquake: init\n")});
  choose(fake);
  choose(fake);
  EXPECT_EQ(fake.log().size(), 2U);
}

TEST_F(AcceleratorTest, ObeysTheUser) {
  auto fake = hypervisor({});
  EXPECT_EQ(choose(fake, "tcg").accelerator, Accelerator::kTcg);
  EXPECT_EQ(choose(fake, "kvm").accelerator, Accelerator::kKvm);
  EXPECT_TRUE(fake.log().empty());
  fs::remove(probe_.kvm_device);
  auto forced = choose_accelerator("kvm", probe_, fake, kernel_, "/initramfs");
  ASSERT_FALSE(forced);
  EXPECT_EQ(forced.error().kind, ErrorKind::kSkipped);
  auto unknown = choose_accelerator("hax", probe_, fake, kernel_, "/initramfs");
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().kind, ErrorKind::kUsage);
}

TEST_F(AcceleratorTest, LeavesNoScratch) {
  auto fake = hypervisor({console("mmquake: init\n")});
  choose(fake);
  for (const auto& entry : fs::directory_iterator(dir_)) {
    EXPECT_EQ(entry.path().filename().string().find("kvm-probe"), std::string::npos);
  }
}

}  // namespace
}  // namespace mmquake
