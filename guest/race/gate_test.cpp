// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/race/gate.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <new>
#include <thread>
#include <vector>

namespace mmquake {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

Deadline in(milliseconds time) {
  return std::chrono::steady_clock::now() + time;
}

constexpr std::uint32_t kRoles = 4;
constexpr int kRounds = 300;

TEST(RoundGate, ThreadsRunEveryRoundOnceAndNeverOverlapTheRunner) {
  RoundGate gate;
  int work[kRoles] = {};  // no atomics: the gate alone must order these accesses
  std::vector<std::thread> threads;
  for (int& mine : work) {
    threads.emplace_back([&gate, &mine] {
      std::uint32_t seen = 0;
      while (gate.pass(seen)) {
        ++mine;
        gate.arrive();
      }
      gate.arrive();
    });
  }
  for (int round = 1; round <= kRounds; ++round) {
    gate.open();
    ASSERT_TRUE(gate.wait_arrivals(kRoles, in(seconds(30))));
    for (const int done : work) {
      ASSERT_EQ(done, round);
    }
  }
  gate.close();
  EXPECT_TRUE(gate.wait_arrivals(kRoles, in(seconds(30))));
  for (std::thread& thread : threads) {
    thread.join();
  }
}

TEST(RoundGate, ProcessesMeetInSharedMemory) {
  struct Shared {
    RoundGate gate;
    int work[kRoles];
  };
  void* memory =
      mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  auto* shared = new (memory) Shared{};
  std::vector<pid_t> children;
  for (int& mine : shared->work) {
    const pid_t pid = fork();
    ASSERT_GE(pid, 0);
    if (pid == 0) {
      std::uint32_t seen = 0;
      while (shared->gate.pass(seen)) {
        ++mine;
        shared->gate.arrive();
      }
      shared->gate.arrive();
      _exit(0);
    }
    children.push_back(pid);
  }
  for (int round = 1; round <= kRounds; ++round) {
    shared->gate.open();
    ASSERT_TRUE(shared->gate.wait_arrivals(kRoles, in(seconds(30))));
    for (const int done : shared->work) {
      ASSERT_EQ(done, round);
    }
  }
  shared->gate.close();
  EXPECT_TRUE(shared->gate.wait_arrivals(kRoles, in(seconds(30))));
  for (const pid_t pid : children) {
    int status = -1;
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
  }
  munmap(memory, sizeof(Shared));
}

TEST(RoundGate, AnAbsentRoleMeansTheDeadlineAndALateOneIsCounted) {
  RoundGate gate;
  gate.open();
  gate.arrive();
  const auto start = std::chrono::steady_clock::now();
  EXPECT_FALSE(gate.wait_arrivals(2, in(milliseconds(30))));
  EXPECT_GE(std::chrono::steady_clock::now() - start, milliseconds(30));
  EXPECT_EQ(gate.arrived(), 1U);
  std::thread late([&gate] { gate.arrive(); });
  EXPECT_TRUE(gate.wait_arrivals(2, in(seconds(30))));
  late.join();
}

TEST(RoundGate, CloseFreesThoseWhoWait) {
  RoundGate gate;
  bool passed = true;
  std::thread role([&] {
    std::uint32_t seen = 0;
    passed = gate.pass(seen);
  });
  gate.close();
  role.join();
  EXPECT_FALSE(passed);
}

}  // namespace
}  // namespace mmquake
