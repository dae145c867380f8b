// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/process/process.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>

#include "host/process/companion.h"
#include "host/process/foreground.h"

namespace mmquake {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Command shell(const std::string& script) {
  return {{"sh", "-c", script}, {}, {}};
}

TEST(RunCommand, GivesLinesOfBothStreamsAndTheExitCode) {
  std::vector<std::string> lines;
  const auto done = run_command(shell("echo one; echo two >&2; printf three; exit 7"),
                                [&](std::string_view line) { lines.emplace_back(line); });
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(done->exit_code, 7);
  EXPECT_THAT(lines, ElementsAre("one", "two", "three"));
  EXPECT_EQ(done->output_tail, "one\ntwo\nthree");
}

TEST(RunCommand, ASignalIsNotAnExitCode) {
  const auto killed = run_command(shell("kill -9 $$"));
  ASSERT_TRUE(killed);
  EXPECT_EQ(killed->exit_code, 128 + SIGKILL);
  const auto exited = run_command(shell("exit 9"));
  ASSERT_TRUE(exited);
  EXPECT_EQ(exited->exit_code, 9);
}

TEST(RunCommand, PassesArgumentsAsTheyAre) {
  const auto done = run_command({{"printf", "%s|", "a b", "*", "'\"", ""}, {}, {}});
  ASSERT_TRUE(done);
  EXPECT_EQ(done->output_tail, "a b|*|'\"||");
}

TEST(RunCommand, UsesDirectoryAndEnvironment) {
  Command command = shell("pwd; echo $WORD; echo ${PATH:+path}");
  command.directory = "/";
  command.environment = {{"WORD", "hello"}};
  const auto done = run_command(command);
  ASSERT_TRUE(done);
  EXPECT_EQ(done->output_tail, "/\nhello\npath\n");
}

TEST(RunCommand, AProgramThatIsNotThereIsNamed) {
  const auto done = run_command({{"no-such-program-mmquake"}, {}, {}});
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().message, HasSubstr("no-such-program-mmquake"));
  const auto path = run_command({{"/nowhere/program"}, {}, {}});
  ASSERT_FALSE(path);
  EXPECT_THAT(path.error().message, HasSubstr("/nowhere/program"));
}

TEST(RunCommand, HoldsOnlyTheEndOfLongOutputAndLines) {
  std::size_t longest = 0;
  const auto done = run_command(shell("head -c 3000000 /dev/zero | tr '\\0' x; echo; echo end"),
                                [&](std::string_view l) { longest = std::max(longest, l.size()); });
  ASSERT_TRUE(done);
  EXPECT_EQ(longest, 8U * 1024);
  EXPECT_LE(done->output_tail.size(), 64U * 1024);
  EXPECT_TRUE(done->output_tail.ends_with("x\nend\n"));
}

TEST(RunCommand, StoppingEndsTheWholeGroup) {
  int grandchild = -1;
  const auto done = run_command(
      shell("(trap '' TERM; sleep 600) & echo $!; wait"),
      [&](std::string_view line) {
        grandchild = static_cast<int>(syscall(SYS_pidfd_open, std::stol(std::string(line)), 0));
      },
      [&] { return grandchild >= 0; });
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().message, HasSubstr("interrupted"));
  ASSERT_GE(grandchild, 0);
  // SIGKILL has been sent to the group; who got it takes a moment to end.
  pollfd ended{grandchild, POLLIN, 0};
  EXPECT_EQ(poll(&ended, 1, 60'000), 1);
  close(grandchild);
}

TEST(RunCommand, ADaemonThatKeepsThePipeDoesNotHoldUs) {
  pid_t daemon = 0;
  const auto done = run_command(shell("setsid sleep 600 & echo $!"), [&](std::string_view line) {
    daemon = static_cast<pid_t>(std::stol(std::string(line)));
  });
  ASSERT_TRUE(done);
  EXPECT_EQ(done->exit_code, 0);
  ASSERT_GT(daemon, 1);
  kill(daemon, SIGKILL);
}

TEST(RunCommand, StandardInputIsEmpty) {
  const auto done = run_command({{"cat"}, {}, {}});
  ASSERT_TRUE(done);
  EXPECT_EQ(done->exit_code, 0);
}

TEST(Companion, LearnsOfOurEndByEndOfFile) {
  const std::filesystem::path trace =
      std::filesystem::path(testing::TempDir()) / ("companion-" + std::to_string(getpid()));
  {
    auto companion =
        Companion::start({"/bin/sh", "-c", "cat >/dev/null; echo end >" + trace.string()});
    ASSERT_TRUE(companion) << companion.error().message;
    EXPECT_EQ(kill(companion->pid(), 0), 0);
    EXPECT_FALSE(std::filesystem::exists(trace));
  }
  EXPECT_TRUE(std::filesystem::exists(trace));
  std::filesystem::remove(trace);
}

TEST(Companion, AProgramThatIsNotThereIsNamed) {
  const auto companion = Companion::start({"/nowhere/companion"});
  ASSERT_FALSE(companion);
  EXPECT_THAT(companion.error().message, HasSubstr("/nowhere/companion"));
}

// What Ctrl-C would do now.
void (*on_interrupt())(int) {
  struct sigaction now = {};
  sigaction(SIGINT, nullptr, &now);
  return now.sa_handler;
}

TEST(ForegroundTest, CtrlCIsTheProgramsAffairWhileItLives) {
  ASSERT_EQ(on_interrupt(), SIG_DFL);
  {
    auto program = Foreground::start({"sh", "-c", "kill -INT $$; exit 5"});
    ASSERT_TRUE(program) << program.error().message;
    EXPECT_EQ(on_interrupt(), SIG_IGN);
    EXPECT_EQ(program->wait({}), 128 + SIGINT);
    EXPECT_EQ(program->poll(), 128 + SIGINT);
  }
  EXPECT_EQ(on_interrupt(), SIG_DFL);
}

TEST(ForegroundTest, EndsWithItsOwner) {
  const std::string file = testing::TempDir() + "foreground." + std::to_string(getpid());
  pid_t pid = 0;
  {
    auto program = Foreground::start({"sh", "-c", "echo $$ > " + file + "; exec sleep 1000"});
    ASSERT_TRUE(program) << program.error().message;
    EXPECT_FALSE(program->wait([&] { return static_cast<bool>(std::ifstream(file) >> pid); }));
    EXPECT_EQ(kill(pid, 0), 0);
  }
  EXPECT_NE(kill(pid, 0), 0);
  std::filesystem::remove(file);
}

TEST(ForegroundTest, AProgramThatIsNotThereIsNamed) {
  const auto program = Foreground::start({"no-such-debugger"});
  ASSERT_FALSE(program);
  EXPECT_THAT(program.error().message, HasSubstr("no-such-debugger"));
  EXPECT_EQ(on_interrupt(), SIG_DFL);
}

}  // namespace
}  // namespace mmquake
