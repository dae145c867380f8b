// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/machine/reaper.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <spawn.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <iterator>
#include <optional>

#include "host/machine/file_descriptor.h"
#include "host/machine/vm_root.h"

namespace mmquake {
namespace {

namespace fs = std::filesystem;

// A shell under another name that waits for its stdin for ever.
class Sleeper {
 public:
  Sleeper(std::string name, const std::string& argument) {
    EXPECT_EQ(pipe2(pipe_, O_CLOEXEC), 0);
    int ready[2] = {-1, -1};
    EXPECT_EQ(pipe2(ready, O_CLOEXEC), 0);
    std::string shell = "echo; read x; : ";
    std::string dash_c = "-c";
    std::string word = argument;
    char* argv[] = {name.data(), dash_c.data(), shell.data(), word.data(), nullptr};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, pipe_[0], 0);
    posix_spawn_file_actions_adddup2(&actions, ready[1], 1);
    EXPECT_EQ(posix_spawn(&pid_, "/bin/sh", &actions, nullptr, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    // The kernel lets the parent of an exec go on a moment before the new arguments are to be seen
    // in /proc.
    close(ready[1]);
    char byte = 0;
    EXPECT_EQ(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    handle_.reset(static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)));
  }
  Sleeper(const Sleeper&) = delete;
  Sleeper& operator=(const Sleeper&) = delete;
  ~Sleeper() {
    close(pipe_[0]);
    close(pipe_[1]);
    waitpid(pid_, nullptr, 0);
  }
  bool ends_within(int milliseconds) const {
    pollfd fd{handle_.get(), POLLIN, 0};
    return poll(&fd, 1, milliseconds) == 1;
  }

 private:
  int pipe_[2] = {-1, -1};
  pid_t pid_ = -1;
  FileDescriptor handle_;
};

class ReaperTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = "/tmp/reaper-test-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    parent_ = name;
    auto made = VmRoot::create({parent_});
    ASSERT_TRUE(made) << made.error().message;
    root_.emplace(std::move(*made));
  }
  void TearDown() override {
    root_.reset();
    fs::remove_all(parent_);
  }
  std::string root() const { return root_->path().string(); }

  // As if the owner had been killed: the lock is gone, the directory is not.
  fs::path abandoned_root() {
    fs::path path = parent_ / (std::string(kRootPrefix) + "dead00");
    fs::create_directory(path);
    std::ofstream(path / "owner.lock") << "";
    return path;
  }

  fs::path parent_;
  std::optional<VmRoot> root_;
};

TEST_F(ReaperTest, KillsOnlyVmsOfItsRoot) {
  const Sleeper ours("qemu-system-x86_64", root() + "/a.s1");
  const Sleeper other_root("qemu-system-x86_64", root() + "x/a.s1");
  const Sleeper no_qemu("editor", root() + "/a.log");
  EXPECT_EQ(kill_vms_of(root()), 1);
  EXPECT_TRUE(ours.ends_within(5000));
  EXPECT_FALSE(other_root.ends_within(0));
  EXPECT_FALSE(no_qemu.ends_within(0));
}

TEST_F(ReaperTest, ActsWhenItsOwnerIsGone) {
  const fs::path dead = abandoned_root();
  const Sleeper vm("/usr/bin/qemu-system-x86_64", dead.string() + "/a.s1");
  {
    auto reaper = start_reaper(dead);
    ASSERT_TRUE(reaper) << reaper.error().message;
    // What looks for the project's name must not find it, nor may the signals of a terminal
    // reach it.
    std::ifstream file("/proc/" + std::to_string(reaper->pid()) + "/cmdline");
    const std::string line{std::istreambuf_iterator<char>(file), {}};
    EXPECT_EQ(line.find("mmquake"), std::string::npos);
    EXPECT_NE(getsid(reaper->pid()), getsid(0));
    EXPECT_FALSE(vm.ends_within(50));
  }  // its stdin ends here, as with a kill -9 of the owner
  EXPECT_TRUE(vm.ends_within(0));
  EXPECT_FALSE(fs::exists(dead));
}

TEST_F(ReaperTest, OutlivesPoliteSignals) {
  const fs::path dead = abandoned_root();
  const Sleeper vm("qemu-system-x86_64", dead.string() + "/a.s1");
  {
    auto reaper = start_reaper(dead);
    ASSERT_TRUE(reaper);
    // Its handlers are in place once it has left our working directory.
    const std::string cwd = "/proc/" + std::to_string(reaper->pid()) + "/cwd";
    std::error_code error;
    while (fs::read_symlink(cwd, error) != "/" && !error) {
    }
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) kill(reaper->pid(), number);
  }
  EXPECT_TRUE(vm.ends_within(0));
}

TEST_F(ReaperTest, HasNothingToDoAfterAnOrderlyEnd) {
  auto reaper = start_reaper(root());
  ASSERT_TRUE(reaper);
  const fs::path gone = root();
  root_.reset();  // removes the directory
  { const Companion ended = std::move(*reaper); }
  EXPECT_FALSE(fs::exists(gone));
}

TEST_F(ReaperTest, RefusesADirectoryThatIsNoRoot) {
  const fs::path other = parent_ / "precious";
  fs::create_directory(other);
  { auto reaper = start_reaper(other); }
  EXPECT_TRUE(fs::exists(other));
}

TEST_F(ReaperTest, SweepsOnlyAbandonedRoots) {
  const fs::path dead = abandoned_root();
  const Sleeper orphan("qemu-system-x86_64", dead.string() + "/a.s1");
  const Sleeper ours("qemu-system-x86_64", root() + "/a.s1");
  sweep_stale_roots({parent_});
  EXPECT_TRUE(orphan.ends_within(5000));
  EXPECT_FALSE(fs::exists(dead));
  EXPECT_FALSE(ours.ends_within(0));
  EXPECT_TRUE(fs::exists(root_->path()));
}

TEST_F(ReaperTest, RootIsPrivateShortAndGoesWithItsOwner) {
  const fs::path path = root_->path();
  EXPECT_LE(path.string().size(), 60U);
  EXPECT_EQ(fs::status(path).permissions(), fs::perms::owner_all);
  EXPECT_EQ(path.string().find("mmquake"), std::string::npos);
  root_.reset();
  EXPECT_FALSE(fs::exists(path));
}

TEST_F(ReaperTest, TakesTheNextParentWhenTheFirstIsTooLongOrMissing) {
  auto made = VmRoot::create({"/" + std::string(70, 'x'), parent_ / "missing", parent_});
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(made->path().parent_path(), parent_);
  EXPECT_FALSE(VmRoot::create({parent_ / "missing"}));
}

}  // namespace
}  // namespace mmquake
