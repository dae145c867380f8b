// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/program/program.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "guest/program/task_tree.h"

namespace mmquake {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::IsEmpty;

class ProgramTest : public testing::Test {
 protected:
  ProgramTest() { prctl(PR_SET_CHILD_SUBREAPER, 1); }
  static Result<Program> shell(const std::string& script) {
    return Program::start({"/bin/sh", "-c", script}, {"MMQUAKE_SEED=7"});
  }
  static void finish(Program& program) {
    while (!program.status()) {
      program.poll(milliseconds(10));
    }
  }
};

TEST_F(ProgramTest, EndsWithItsStatusAndWhatItPrinted) {
  auto program = shell("echo seed $MMQUAKE_SEED; echo wrong >&2; exit 3");
  ASSERT_TRUE(program) << program.error().message;
  finish(*program);
  program->poll(milliseconds(0));
  EXPECT_EQ(describe_status(*program->status()), "exited with 3");
  EXPECT_EQ(program->output(), "seed 7\nwrong\n");
}

TEST_F(ProgramTest, ASignalHasAName) {
  auto program = shell("kill -SEGV $$");
  ASSERT_TRUE(program);
  finish(*program);
  EXPECT_EQ(describe_status(*program->status()), "was killed by SIGSEGV");
}

TEST_F(ProgramTest, OnlyTheEndOfALongOutputIsKept) {
  auto program = shell("i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done");
  ASSERT_TRUE(program);
  finish(*program);
  for (int i = 0; i < 100; ++i) {
    program->poll(milliseconds(0));
  }
  EXPECT_LE(program->output().size(), Program::kKeptOutput);
  EXPECT_THAT(program->output(), HasSubstr("line 19999\n"));
}

TEST_F(ProgramTest, WhoeverItLeavesBehindIsKilledToo) {
  auto program = shell("setsid sleep 1000 & setsid setsid sleep 1000 & exit 0");
  ASSERT_TRUE(program);
  finish(*program);
  while (!descendants_of(getpid()).empty()) {
    Program::kill_all();
    program->poll(milliseconds(10));
  }
  EXPECT_THAT(descendants_of(getpid()), IsEmpty());
}

TEST_F(ProgramTest, WhatIsNotThereIsAnError) {
  const auto program = Program::start({"/nowhere/at/all"}, {});
  ASSERT_FALSE(program);
  EXPECT_THAT(program.error().message, HasSubstr("/nowhere/at/all"));
}

}  // namespace
}  // namespace mmquake
