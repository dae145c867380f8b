// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/program/task_tree.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>

namespace mmquake {
namespace {

using testing::Contains;
using testing::Not;

Task waiting(char state, const std::string& syscall) {
  return {1, 1, state, 0, syscall};
}

TEST(WaitsByDesign, ThePageFaultAndTheMemoryManagersCallsDoNot) {
  EXPECT_FALSE(waits_by_design(waiting('S', "-1 0x7ffd 0x40")));
  EXPECT_FALSE(waits_by_design(waiting('D', "-1 0x7ffd 0x40")));
  EXPECT_FALSE(waits_by_design(waiting('S', std::to_string(SYS_madvise) + " 0x1 0x2")));
  EXPECT_FALSE(waits_by_design(waiting('S', std::to_string(SYS_exit_group) + " 0x1")));
  // Uninterruptible: nothing that a program asked for lasts for ever like that.
  EXPECT_FALSE(waits_by_design(waiting('D', std::to_string(SYS_read) + " 0x1 0x2")));
}

TEST(WaitsByDesign, WhoeverWaitsForOthersOrRunsDoes) {
  EXPECT_TRUE(waits_by_design(waiting('S', std::to_string(SYS_futex) + " 0x1 0x2")));
  EXPECT_TRUE(waits_by_design(waiting('S', std::to_string(SYS_wait4) + " 0x1 0x2")));
  EXPECT_TRUE(waits_by_design(waiting('S', "running")));
  EXPECT_TRUE(waits_by_design(waiting('S', ""))) << "it could not be read";
  for (const char state : {'R', 'T', 't', 'Z', 'X', 'I'}) {
    EXPECT_TRUE(waits_by_design(waiting(state, "-1 0x7ffd 0x40"))) << state;
  }
}

TEST(ParentIn, TheNameMayHoldAnything) {
  EXPECT_EQ(parent_in("12 (sh) S 34 12 12"), 34);
  EXPECT_EQ(parent_in("12 (a) S 9) (b) R 34 1"), 34);
  EXPECT_EQ(parent_in("12 (sh"), std::nullopt);
  EXPECT_EQ(parent_in(""), std::nullopt);
}

// A grandchild that waits for a byte.
TEST(TaskTree, SeesGrandchildrenAndWhatTheyWaitFor) {
  std::array<int, 2> ends{};
  std::array<int, 2> told{};
  ASSERT_EQ(pipe2(ends.data(), O_CLOEXEC), 0);
  ASSERT_EQ(pipe2(told.data(), O_CLOEXEC), 0);
  const pid_t child = fork();
  if (child == 0) {
    const pid_t grandchild = fork();
    char byte = 0;
    if (grandchild == 0) {
      _exit(read(ends[0], &byte, 1) == 1 ? 0 : 1);
    }
    const bool said = write(told[1], &grandchild, sizeof(grandchild)) == sizeof(grandchild);
    int status = 0;
    _exit(said && waitpid(grandchild, &status, 0) == grandchild && status == 0 ? 0 : 1);
  }
  ASSERT_GT(child, 0);
  pid_t grandchild = 0;
  ASSERT_EQ(read(told[0], &grandchild, sizeof(grandchild)), sizeof(grandchild));
  EXPECT_THAT(descendants_of(getpid()), Contains(child));
  EXPECT_THAT(descendants_of(getpid()), Contains(grandchild));
  EXPECT_THAT(descendants_of(child), Not(Contains(child)));
  const auto asleep = [&]() {
    const std::vector<Task> tasks = tasks_of({grandchild});
    return tasks.size() == 1 && tasks[0].state == 'S';
  };
  while (!asleep()) {
    sched_yield();
  }
  const std::vector<Task> tasks = tasks_of({grandchild});
  ASSERT_EQ(tasks.size(), 1U);
  EXPECT_EQ(tasks[0].tid, grandchild);
  EXPECT_GT(tasks[0].switches, 0U);
  EXPECT_TRUE(waits_by_design(tasks[0])) << tasks[0].syscall;
  EXPECT_EQ(write(ends[1], "x", 1), 1);
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_THAT(tasks_of({grandchild}), testing::IsEmpty());
  for (const int fd : {ends[0], ends[1], told[0], told[1]}) {
    close(fd);
  }
}

}  // namespace
}  // namespace mmquake
