// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/runner/cpu_work.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <chrono>
#include <csignal>
#include <thread>

#include "guest/runner/requirements.h"
#include "guest/runner/shared_state.h"

namespace mmquake {
namespace {

// Polls: the other side is a process.
bool reached(const CpuWork& work, std::uint32_t goal) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (work.behind(goal) > 0) {
    if (std::chrono::steady_clock::now() > end) {
      return false;
    }
    std::this_thread::yield();
  }
  return true;
}

TEST(CpuWork, EveryCpuDoesWhatIsAskedAndNoMore) {
  Result<SharedMapping> state = SharedMapping::create();
  ASSERT_TRUE(state);
  CpuWork& work = (*state)->cpu_work;
  const std::vector<int> cpus = read_machine_facts().cpus;
  const CpuWorkers workers(work, cpus);
  ASSERT_EQ(work.workers.load(), cpus.size());
  const std::uint32_t first = work.ask(2);
  EXPECT_TRUE(reached(work, first));
  const std::uint32_t second = work.ask(1);
  EXPECT_EQ(second, 3U);
  EXPECT_TRUE(reached(work, second));
  for (std::size_t i = 0; i < cpus.size(); ++i) {
    EXPECT_EQ(work.done[i].load(), 3U);
  }
}

TEST(CpuWork, IsBehindWhileNobodyWorks) {
  Result<SharedMapping> state = SharedMapping::create();
  ASSERT_TRUE(state);
  CpuWork& work = (*state)->cpu_work;
  EXPECT_EQ(work.behind(work.ask(1)), 0U) << "no worker, nothing to wait for";
  work.workers.store(2);
  EXPECT_EQ(work.behind(1), 2U);
  work.done[1].store(1);
  EXPECT_EQ(work.behind(1), 1U);
}

}  // namespace
}  // namespace mmquake
