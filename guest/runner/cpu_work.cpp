// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/runner/cpu_work.h"

#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <csignal>
#include <thread>

#include "guest/protocol/records.h"

namespace mmquake {
namespace {

// Not FUTEX_PRIVATE: the word is shared between processes.
void futex(std::atomic<std::uint32_t>& word, int operation, std::uint32_t value) {
  syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(&word), operation, value, nullptr, nullptr,
          0);
}

[[noreturn]] void work_on(CpuWork& work, int cpu, std::size_t index) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<std::size_t>(cpu), &set);
  sched_setaffinity(0, sizeof set, &set);
  for (;;) {
    const std::uint32_t asked = work.asked.load();
    if (work.done[index].load() == asked) {
      futex(work.asked, FUTEX_WAIT, asked);
      continue;
    }
    calibrate();
    work.done[index].fetch_add(1);
  }
}

}  // namespace

std::uint32_t CpuWork::ask(std::uint32_t units) {
  const std::uint32_t goal = asked.fetch_add(units) + units;
  futex(asked, FUTEX_WAKE, INT_MAX);
  return goal;
}

std::uint32_t CpuWork::behind(std::uint32_t goal) const {
  std::uint32_t count = 0;
  for (std::size_t i = 0; i < workers.load(); ++i) {
    count += done[i].load() < goal ? 1 : 0;
  }
  return count;
}

CpuWorkers::CpuWorkers(CpuWork& work, const std::vector<int>& cpus) {
  const std::size_t count = std::min(cpus.size(), kMaxWorkers);
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ < 0) {
    return;
  }
  if (pid_ > 0) {
    work.workers.store(static_cast<std::uint32_t>(count));
    return;
  }
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  prctl(PR_SET_NAME, "cpu-work");
  if (getppid() != parent) {
    _exit(0);
  }
  for (std::size_t i = 1; i < count; ++i) {
    std::thread(work_on, std::ref(work), cpus[i], i).detach();
  }
  if (count > 0) {
    work_on(work, cpus[0], 0);
  }
  _exit(0);
}

CpuWorkers::~CpuWorkers() {
  if (pid_ < 0) {
    return;
  }
  const int pidfd = static_cast<int>(syscall(SYS_pidfd_open, pid_, 0));
  kill(pid_, SIGKILL);
  if (pidfd >= 0) {
    pollfd ended{pidfd, POLLIN, 0};
    poll(&ended, 1, 1000);
    close(pidfd);
  }
  waitpid(pid_, nullptr, WNOHANG);
}

}  // namespace mmquake
