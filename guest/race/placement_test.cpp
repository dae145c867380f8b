// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/race/placement.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <thread>

namespace mmquake {
namespace {

TEST(Placement, PinsToTheCpuOfTheCaller) {
  cpu_set_t allowed;
  ASSERT_EQ(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
  int last = -1;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    last = CPU_ISSET(cpu, &allowed) ? cpu : last;
  }
  std::thread([last] {
    const Result<> pinned = pin_to_cpu(last);
    ASSERT_TRUE(pinned) << pinned.error().message;
    EXPECT_EQ(sched_getcpu(), last);
  }).join();
}

TEST(Placement, RefusesACpuThatIsNotThere) {
  for (const int cpu : {-1, CPU_SETSIZE, CPU_SETSIZE - 1}) {
    const Result<> pinned = pin_to_cpu(cpu);
    ASSERT_FALSE(pinned) << cpu;
    EXPECT_NE(pinned.error().message.find(std::to_string(cpu)), std::string::npos);
  }
}

TEST(Placement, RefusesAPriorityOutOfRange) {
  EXPECT_FALSE(set_fifo_priority(100));
}

TEST(Placement, OrdinaryPriorityIsAlwaysAllowed) {
  EXPECT_TRUE(set_fifo_priority(0));
}

TEST(Placement, DelaysAreNeverShorterThanAsked) {
  for (const int us : {0, 20, 150, 500, 3000}) {
    const auto start = std::chrono::steady_clock::now();
    delay(std::chrono::microseconds(us));
    EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::microseconds(us));
  }
}

}  // namespace
}  // namespace mmquake
