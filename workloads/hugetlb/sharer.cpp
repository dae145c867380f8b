// SPDX-License-Identifier: GPL-2.0-or-later
#include "workloads/hugetlb/sharer.h"

#include <fmt/core.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <utility>

#include "guest/memory/mapping.h"

namespace mmquake {
namespace {

// The caller has other threads: only what is safe after a fork may be called.
[[noreturn]] void wait_for_the_end(pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) {
    _exit(1);  // it died before the line above
  }
  for (;;) {
    pause();
  }
}

Result<> judge_transfer(const char* what, ssize_t done, std::size_t bytes) {
  if (done < 0 && errno == ENOSYS) {
    return skipped(fmt::format("{}: this kernel has no CONFIG_CROSS_MEMORY_ATTACH", what));
  }
  if (done < 0) {
    return broken(fmt::format("{} of {} bytes: {}", what, bytes, errno_text(errno)));
  }
  if (static_cast<std::size_t>(done) != bytes) {
    return broken(fmt::format("{}: {} of {} bytes", what, done, bytes));
  }
  return {};
}

}  // namespace

Result<Sharer> Sharer::start() {
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) {
    return broken(fmt::format("fork the process that shares: {}", errno_text(errno)));
  }
  if (pid == 0) {
    wait_for_the_end(parent);
  }
  return Sharer(pid);
}

Sharer::Sharer(Sharer&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}

Sharer::~Sharer() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
}

Result<> Sharer::read(std::uintptr_t address, void* to, std::size_t bytes) const {
  const iovec local{to, bytes};
  const iovec remote{reinterpret_cast<void*>(address), bytes};
  return judge_transfer("process_vm_readv",  //
                        process_vm_readv(pid_, &local, 1, &remote, 1, 0), bytes);
}

Result<> Sharer::write(std::uintptr_t address, const void* from, std::size_t bytes) const {
  const iovec local{const_cast<void*>(from),
                    bytes};  // NOLINT(cppcoreguidelines-pro-type-const-cast)
  const iovec remote{reinterpret_cast<void*>(address), bytes};
  return judge_transfer("process_vm_writev", process_vm_writev(pid_, &local, 1, &remote, 1, 0),
                        bytes);
}

}  // namespace mmquake
