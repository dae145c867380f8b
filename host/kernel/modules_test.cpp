// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/kernel/modules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "host/kernel/fake_kernel.h"
#include "host/process/process.h"

namespace mmquake::kernel {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(ModuleName, IsTheOneThatModprobeTakes) {
  EXPECT_EQ(module_name("kernel/arch/x86/kvm/kvm-amd.ko.xz"), "kvm_amd");
  EXPECT_EQ(module_name("kernel/drivers/block/brd.ko"), "brd");
  EXPECT_EQ(module_name("brd"), "brd");
}

// depmod names everything that a module needs, the deepest last.
constexpr const char* kDep =
    "kernel/kvm-amd.ko.xz: kernel/kvm.ko.xz kernel/irqbypass.ko.xz\n"
    "kernel/kvm.ko.xz: kernel/irqbypass.ko.xz\n"
    "kernel/irqbypass.ko.xz:\n"
    "kernel/brd.ko.xz:\n"
    "kernel/other.ko.xz:\n";

TEST(LoadOrder, WhatAModuleNeedsComesBeforeItAndOnce) {
  EXPECT_THAT(load_order(kDep, {"brd", "kvm_amd", "kvm"}),
              ElementsAre("kernel/brd.ko.xz", "kernel/irqbypass.ko.xz", "kernel/kvm.ko.xz",
                          "kernel/kvm-amd.ko.xz"));
}

TEST(LoadOrder, WhatIsBuiltInIsNotInTheFile) {
  EXPECT_THAT(load_order(kDep, {"virtio_pci"}), IsEmpty());
  EXPECT_THAT(load_order("", {"brd"}), IsEmpty());
}

TEST(LoadOrder, ACircleAndLinesOfNonsenseAreSurvived) {
  EXPECT_THAT(load_order("nonsense\na/brd.ko: a/b.ko\na/b.ko: a/brd.ko\n", {"brd"}),
              ElementsAre("a/b.ko", "a/brd.ko"));
}

// Objects that depmod takes for modules: brd needs a symbol that lib-part exports.
class TakeModulesTest : public testing::Test {
 protected:
  TakeModulesTest() {
    folder_.write("brd.c", "extern int part(void); int use(void) { return part(); }\n");
    folder_.write("lib-part.c",
                  "__attribute__((section(\"__ksymtab_strings\"), used)) const char n[] = "
                  "\"part\"; int part(void) { return 1; }\n");
  }
  void compile(const std::string& source, const fs::path& to) const {
    fs::create_directories(to.parent_path());
    Command gcc;
    gcc.argv = {"gcc", "-c", (folder_.root() / source).string(), "-o", to.string()};
    const auto done = run_command(gcc);
    ASSERT_TRUE(done) << done.error().message;
    ASSERT_EQ(done->exit_code, 0) << done->output_tail;
  }
  std::vector<std::string> taken() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_.root() / "taken")) {
      names.push_back(entry.path().filename());
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  TestTree folder_;
  SilentReporter reporter_;
};

TEST_F(TakeModulesTest, TakesWhatGuestsUseWithWhatItNeeds) {
  for (const char* place : {"old/lib", "new/usr/lib"}) {
    const fs::path modules = folder_.root() / place / "modules/9.9";
    compile("brd.c", modules / "kernel/drivers/brd.ko");
    compile("lib-part.c", modules / "kernel/lib/lib-part.ko");
    compile("lib-part.c", modules / "kernel/lib/unused.ko");
    const fs::path files = folder_.root() / fs::path(place).begin()->string();
    const auto done = take_modules(files, "9.9", folder_.root() / "taken", reporter_);
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_THAT(taken(), ElementsAre("00-lib-part.ko", "01-brd.ko"));
    fs::remove_all(folder_.root() / "taken");
  }
}

TEST_F(TakeModulesTest, AKernelWithoutModulesHasNone) {
  ASSERT_TRUE(take_modules(folder_.root(), "9.9", folder_.root() / "taken", reporter_));
  EXPECT_FALSE(fs::exists(folder_.root() / "taken"));
}

}  // namespace
}  // namespace mmquake::kernel
