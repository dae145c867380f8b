// SPDX-License-Identifier: GPL-2.0-or-later
//
// Builds that wait for each other, are stopped, or are killed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <future>

#include "host/kernel/build_tree.h"
#include "host/kernel/fake_kernel.h"
#include "host/kernel/files.h"
#include "host/kernel/tree_lock.h"

namespace mmquake::kernel {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

// PIDs of processes whose environment names the build tree.
std::vector<pid_t> processes_of(const fs::path& tree) {
  const std::string entry = std::string(kTreeVariable) + "=" + tree.string();
  std::vector<pid_t> out;
  for (const auto& process : fs::directory_iterator("/proc")) {
    const std::string name = process.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const auto environment = read_text(process.path() / "environ");
    if (environment && environment->find(entry) != std::string::npos)
      out.push_back(std::stoi(name));
  }
  return out;
}

class InterruptionTest : public testing::Test {
 protected:
  // Builds in a process of its own that stops at the gate, and kills that process.
  pid_t kill_a_build_at(const Gate& gate) {
    const pid_t child = fork();
    if (child == 0) {
      const auto artifact = fake_.obtain(fake_.spec());
      _exit(artifact ? 0 : 1);
    }
    const pid_t compiler = gate.wait_until_reached();
    EXPECT_EQ(kill(child, SIGKILL), 0);
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFSIGNALED(status));
    return compiler;
  }

  FakeKernel fake_;
};

TEST_F(InterruptionTest, TwoBuildersOfOneKernelWaitForEachOther) {
  const Gate gate(fake_, "mm/rmap.o");
  auto first = std::async(std::launch::async, [&] { return fake_.obtain(fake_.spec()); });
  gate.wait_until_reached();
  std::promise<std::string> waiting;
  std::atomic<bool> waits = false;
  std::atomic<int> compiles = 0;
  auto second = std::async(std::launch::async, [&] {
    return KernelStore(fake_.cache())
        .obtain(fake_.spec(),
                [&](const Progress& progress) {
                  if (progress.stage == "compile") ++compiles;
                  if (progress.stage.starts_with("wait") && !waits.exchange(true)) {
                    waiting.set_value(progress.detail);
                  }
                },
                {});
  });
  EXPECT_THAT(waiting.get_future().get(), HasSubstr("PID " + std::to_string(getpid())));
  gate.open();
  const auto one = first.get();
  const auto two = second.get();
  ASSERT_TRUE(one) << one.error().message;
  ASSERT_TRUE(two) << two.error().message;
  EXPECT_EQ(one->key, two->key);
  EXPECT_EQ(compiles, 0);
}

TEST_F(InterruptionTest, WhoWaitsCanBeStopped) {
  const Gate gate(fake_, "mm/rmap.o");
  auto first = std::async(std::launch::async, [&] { return fake_.obtain(fake_.spec()); });
  gate.wait_until_reached();
  std::atomic<bool> stop = false;
  const auto second =
      KernelStore(fake_.cache())
          .obtain(
              fake_.spec(),
              [&](const Progress& progress) { stop = progress.stage.starts_with("wait"); },
              [&] { return stop.load(); });
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().message, "interrupted");
  gate.open();
  EXPECT_TRUE(first.get());
}

TEST_F(InterruptionTest, AStoppedBuildLeavesNoChildAndCanGoOn) {
  {
    const Gate gate(fake_, "mm/rmap.o");
    std::atomic<bool> stop = false;
    auto build = std::async(std::launch::async, [&] {
      return fake_.obtain(fake_.spec(), [&] { return stop.load(); });
    });
    gate.wait_until_reached();
    EXPECT_FALSE(processes_of(fake_.build_tree()).empty());
    stop = true;
    const auto artifact = build.get();
    ASSERT_FALSE(artifact);
    EXPECT_EQ(artifact.error().kind, ErrorKind::kBroken);
    EXPECT_EQ(artifact.error().message, "interrupted");
    EXPECT_TRUE(processes_of(fake_.build_tree()).empty());
  }
  EXPECT_FALSE(fs::exists(fake_.cache() / "kernels"));
  const auto artifact = fake_.obtain(fake_.spec());
  ASSERT_TRUE(artifact) << artifact.error().message;
  EXPECT_TRUE(holds(artifact->vmlinux, "<rmap one>"));
}

TEST_F(InterruptionTest, TheMakeOfAKilledBuildIsEndedBeforeTheNextStarts) {
  {
    const Gate gate(fake_, "mm/rmap.o");
    kill_a_build_at(gate);
    EXPECT_FALSE(processes_of(fake_.build_tree()).empty());  // make does not know yet
    unsetenv("FAKE_GATE");
    const auto artifact = fake_.obtain(fake_.spec());
    ASSERT_TRUE(artifact) << artifact.error().message;
    EXPECT_TRUE(holds(artifact->vmlinux, "<rmap one>"));
  }
  EXPECT_TRUE(processes_of(fake_.build_tree()).empty());
}

TEST_F(InterruptionTest, AHalfObjectOfAKilledBuildIsMadeAgain) {
  ASSERT_TRUE(fake_.obtain(fake_.spec()));
  fake_.write_object("mm/rmap", "rmap two");
  {
    const Gate gate(fake_, "mm/rmap.o");
    const pid_t compiler = kill_a_build_at(gate);
    // make, too, gets no chance to take away what it was making.
    ASSERT_EQ(kill(-getpgid(compiler), SIGKILL), 0);
  }
  // Complete for all that make can see: newer than its source, and made once by this command.
  fs::path half;
  for (const auto& entry : fs::directory_iterator(fake_.build_tree())) {
    const fs::path object = entry.path() / "mm/rmap.o";
    if (fs::exists(object)) half = object;
  }
  ASSERT_EQ(text_of(half), "half\n");
  const auto artifact = fake_.obtain(fake_.spec());
  ASSERT_TRUE(artifact) << artifact.error().message;
  EXPECT_TRUE(holds(artifact->vmlinux, "<rmap two>"));
  EXPECT_THAT(fake_.compiled(), ElementsAre("mm/rmap.o"));
}

// A tree as a kill between any two steps of a change of patches or revisions leaves it.
TEST_F(InterruptionTest, ATreeInAnUnknownStateIsMended) {
  fake_.write_object("mm/kept", "kept one");
  KernelSpec patched = fake_.spec();
  patched.patches = {fake_.write_patch("1", "mm/rmap", "rmap one", "rmap patched")};
  ASSERT_TRUE(fake_.obtain(patched));
  const fs::path tree = fake_.build_tree();
  const fs::path file = tree / "source/mm/rmap.c";
  // In the middle of un-patching: the state still says that the file may differ.
  std::ofstream(file, std::ios::app) << "half written";
  const auto clean = fake_.obtain(fake_.spec());
  ASSERT_TRUE(clean) << clean.error().message;
  EXPECT_EQ(text_of(file), text_of(fake_.source() / "mm/rmap.c"));
  // In the middle of an update: no identity, a file too many, one missing, one of another revision.
  std::ofstream(tree / "state.json") << R"({"identity": "", "touched": []})";
  std::ofstream(tree / "source/mm/stray.c") << "const char mm_stray[] = \"<stray>\";\n";
  fs::remove(tree / "source/mm/swap.c");
  std::ofstream(file, std::ios::app) << "half written";
  fake_.write_object("fs/exec", "exec two");
  const auto next = fake_.obtain(fake_.spec());
  ASSERT_TRUE(next) << next.error().message;
  EXPECT_TRUE(holds(next->vmlinux, "<exec two>"));
  EXPECT_TRUE(holds(next->vmlinux, "<swap one>"));
  EXPECT_FALSE(holds(next->vmlinux, "<stray>"));
  // What was right already is not even written.
  EXPECT_THAT(fake_.compiled(), UnorderedElementsAre("fs/exec.o", "mm/rmap.o", "mm/swap.o"));
  EXPECT_EQ(text_of(file), text_of(fake_.source() / "mm/rmap.c"));
}

TEST_F(InterruptionTest, ProgressGoesOnWhileACommandIsSilent) {
  const fs::path fifo = fake_.folder().root() / "fifo";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  int said = 0;
  const ProgressSink sink = [&](const Progress& progress) {
    EXPECT_EQ(progress.stage, "compile");
    // Only because we were called does the command end.
    if (++said == 3) std::ofstream(fifo) << "go\n";
  };
  const std::function<bool()> never;
  Reporter reporter(sink, never);
  reporter.stage("compile");
  Command command;
  command.argv = {"cat", fifo.string()};
  const auto done = reporter.run(command);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(said, 3);
}

TEST(DropHalfWritten, OnlyTargetsThatAreNewerThanTheirCommand) {
  const TestTree tree;
  const auto now = fs::file_time_type::clock::now();
  const auto write = [&](const char* name, int seconds_ago) {
    fs::last_write_time(tree.write(name, "x"), now - std::chrono::seconds(seconds_ago));
  };
  write("mm/half.o", 10);
  write("mm/.half.o.cmd", 500);
  write("mm/whole.o", 11);
  write("mm/.whole.o.cmd", 10);
  write("mm/old.o", 400);  // from before the build that was killed
  write("mm/.old.o.cmd", 500);
  write("mm/generated.h", 10);
  const std::int64_t since =
      std::chrono::duration_cast<std::chrono::nanoseconds>(
          (std::chrono::system_clock::now() - std::chrono::seconds(100)).time_since_epoch())
          .count();
  const auto dropped = drop_half_written(tree.root(), since);
  ASSERT_TRUE(dropped) << dropped.error().message;
  EXPECT_FALSE(fs::exists(tree.root() / "mm/half.o"));
  for (const char* kept : {"mm/whole.o", "mm/old.o", "mm/generated.h", "mm/.half.o.cmd"}) {
    EXPECT_TRUE(fs::exists(tree.root() / kept)) << kept;
  }
}

}  // namespace
}  // namespace mmquake::kernel
