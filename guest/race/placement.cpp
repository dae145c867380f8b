// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/race/placement.h"

#include <sched.h>

#include <cerrno>
#include <cstring>
#include <ctime>

namespace mmquake {
namespace {

constexpr std::chrono::nanoseconds kLongestYield = std::chrono::microseconds(200);

}  // namespace

Result<> pin_to_cpu(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (cpu >= 0 && cpu < CPU_SETSIZE) {
    CPU_SET(cpu, &set);
  }
  if (sched_setaffinity(0, sizeof(set), &set) != 0) {
    return broken("pin to CPU " + std::to_string(cpu) + ": " + std::strerror(errno));
  }
  return {};
}

Result<> set_fifo_priority(int priority) {
  sched_param param{};
  param.sched_priority = priority;
  if (sched_setscheduler(0, priority > 0 ? SCHED_FIFO : SCHED_OTHER, &param) != 0) {
    return broken("set SCHED_FIFO priority " + std::to_string(priority) + ": " +
                  std::strerror(errno));
  }
  return {};
}

void delay(std::chrono::nanoseconds time) {
  const auto until = std::chrono::steady_clock::now() + time;
  if (time > kLongestYield) {
    const auto ns =
        std::chrono::duration_cast<std::chrono::nanoseconds>(until.time_since_epoch()).count();
    const timespec at{ns / 1'000'000'000, ns % 1'000'000'000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, nullptr) == EINTR) {
    }
    return;
  }
  while (std::chrono::steady_clock::now() < until) {
    sched_yield();
  }
}

}  // namespace mmquake
