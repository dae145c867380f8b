// SPDX-License-Identifier: GPL-2.0-or-later
#include "workloads/compose/tracee.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>

namespace mmquake {
namespace {

struct Words {
  std::atomic<std::uint64_t> own{1};  // private to each process after a fork
};

// A child whose memory is its own: what it sees there is what was poked.
class TraceeTest : public testing::Test {
 protected:
  void SetUp() override {
    void* const page =
        mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(page, MAP_FAILED);
    words_ = new (page) Words;
    child_ = fork();
    ASSERT_GE(child_, 0);
    if (child_ == 0) {
      while (words_->own.load() != 7) {
        sched_yield();
      }
      _exit(0);
    }
  }
  void TearDown() override {
    if (child_ > 0) {
      kill(child_, SIGKILL);
      waitpid(child_, nullptr, 0);
    }
    munmap(words_, 4096);
  }

  Words* words_ = nullptr;
  pid_t child_ = -1;
};

TEST_F(TraceeTest, WhatIsPokedIsThereAndTheThreadGoesOn) {
  {
    const std::optional<Tracee> tracee = Tracee::stop(child_);
    if (!tracee) {
      GTEST_SKIP() << "this host allows no ptrace";
    }
    EXPECT_FALSE(Tracee::stop(child_)) << "twice";
    EXPECT_EQ(tracee->peek(words_), 1U);
    EXPECT_TRUE(tracee->poke(words_, 7));
    EXPECT_EQ(tracee->peek(words_), 7U);
    EXPECT_FALSE(tracee->peek(nullptr));
    EXPECT_FALSE(tracee->poke(nullptr, 7));
  }
  EXPECT_EQ(words_->own.load(), 1U);
  int status = -1;
  ASSERT_EQ(waitpid(child_, &status, 0), child_);
  child_ = -1;
  EXPECT_TRUE(WIFEXITED(status));
}

TEST_F(TraceeTest, WhoIsGoneIsNotStopped) {
  kill(child_, SIGKILL);
  ASSERT_EQ(waitpid(child_, nullptr, 0), child_);
  EXPECT_FALSE(Tracee::stop(child_));
  child_ = -1;
}

}  // namespace
}  // namespace mmquake
