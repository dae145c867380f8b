// SPDX-License-Identifier: GPL-2.0-or-later
//
// `make install` into a folder of its own: the installed program finds everything there, and the
// units are ones that systemd takes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "host/process/process.h"

namespace mmquake {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

Finished run(std::vector<std::string> argv) {
  Command command;
  command.argv = std::move(argv);
  auto done = run_command(command);
  EXPECT_TRUE(done) << done.error().message;
  return done ? *done : Finished{-1, ""};
}

class Install : public testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::path(MMQUAKE_BINARY_DIR) / "installed" /
            testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(root_);
  }
  void TearDown() override { fs::remove_all(root_); }

  fs::path root_;
};

TEST_F(Install, TheProgramFindsWhatIsInstalledWithIt) {
  const Finished done = run({"cmake", "--install", MMQUAKE_BINARY_DIR, "--prefix", root_.string()});
  ASSERT_EQ(done.exit_code, 0) << done.output_tail;
  const std::string program = (root_ / "bin/mmquake").string();
  // A name that only the installed configuration has.
  fs::copy_file(root_ / "share/mmquake/configs/campaigns/clean.toml",
                root_ / "share/mmquake/configs/campaigns/only-here.toml");
  EXPECT_THAT(run({program, "soak", "only-heer"}).output_tail, HasSubstr("'only-here'"));
  const Finished list = run({program, "list"});
  EXPECT_EQ(list.exit_code, 0) << list.output_tail;
  EXPECT_THAT(list.output_tail, AllOf(HasSubstr("uffd-thp-migration"), HasSubstr("only-here")));
  // Fragments, patches and the widener's source: else the inputs of a kernel cannot be read.
  const Finished kernels = run({program, "kernel", "list"});
  EXPECT_EQ(kernels.exit_code, 0) << kernels.output_tail;
  EXPECT_TRUE(fs::exists(root_ / "share/mmquake/guest/widener/control.c"));
  EXPECT_TRUE(fs::exists(root_ / "share/mmquake/images/patches/6.1"));
}

TEST_F(Install, SystemdTakesTheUnits) {
  if (run({"/bin/sh", "-c", "command -v systemd-analyze"}).exit_code != 0) {
    GTEST_SKIP() << "there is no systemd-analyze here";
  }
  ASSERT_EQ(run({"cmake", "--install", MMQUAKE_BINARY_DIR, "--prefix", root_.string()}).exit_code,
            0);
  const fs::path units = root_ / "lib/systemd/system";
  const Finished checked = run({"systemd-analyze", "verify", "--man=no", "--recursive-errors=no",
                                (units / "mmquake-nightly.service").string(),
                                (units / "mmquake-nightly.timer").string()});
  EXPECT_EQ(checked.exit_code, 0) << checked.output_tail;
  EXPECT_THAT(checked.output_tail, Not(HasSubstr("mmquake"))) << "a warning";
  EXPECT_TRUE(fs::exists(root_ / "lib/sysusers.d/mmquake.conf"));
}

TEST_F(Install, DestdirStandsBeforeEverything) {
  const Finished done = run(
      {"/bin/sh", "-c",
       "DESTDIR='" + root_.string() + "' cmake --install '" MMQUAKE_BINARY_DIR "' --prefix /usr"});
  ASSERT_EQ(done.exit_code, 0) << done.output_tail;
  std::ifstream unit(root_ / "usr/lib/systemd/system/mmquake-nightly.service");
  const std::string text((std::istreambuf_iterator<char>(unit)), std::istreambuf_iterator<char>());
  EXPECT_THAT(text, AllOf(HasSubstr("ExecStart=/usr/bin/mmquake soak nightly"),
                          Not(HasSubstr("/usr/local"))));
  EXPECT_TRUE(fs::exists(root_ / "usr/bin/mmquake"));
}

}  // namespace
}  // namespace mmquake
