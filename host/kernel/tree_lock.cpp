// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/kernel/tree_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <system_error>
#include <vector>

namespace mmquake::kernel {
namespace fs = std::filesystem;
namespace {

constexpr int kPollMs = 100;
// From SIGTERM to SIGKILL.
constexpr std::chrono::seconds kPatience(3);

std::string owner_in(const fs::path& file) {
  const auto text = read_text(file);
  if (!text || text->empty()) return "unknown";
  return text->substr(0, text->find('\n'));
}

// Whether `fd` is still the file of that name: its last owner may have retired it.
bool is_current(int fd, const fs::path& file) {
  struct stat ours {};
  struct stat named {};
  return fstat(fd, &ours) == 0 && stat(file.c_str(), &named) == 0 && ours.st_ino == named.st_ino &&
         ours.st_dev == named.st_dev;
}

void write_owner(int fd) {
  const std::string text = fmt::format("{}\n", getpid());
  // Only for a message.
  if (ftruncate(fd, 0) != 0 || pwrite(fd, text.data(), text.size(), 0) < 0) return;
}

}  // namespace

Result<std::optional<TreeLock>> TreeLock::try_now(const fs::path& file) {
  if (auto made = make_folder(file.parent_path()); !made) {
    return tl::make_unexpected(made.error());
  }
  while (true) {
    OwnedFd fd(open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
    if (!fd) {
      return broken(fmt::format("open the lock '{}': {}", file.string(), std::strerror(errno)));
    }
    if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EINTR) continue;
      if (errno == EWOULDBLOCK) return std::optional<TreeLock>();
      return broken(fmt::format("lock '{}': {}", file.string(), std::strerror(errno)));
    }
    if (!is_current(fd.get(), file)) continue;
    write_owner(fd.get());
    return std::optional<TreeLock>(TreeLock(std::move(fd)));
  }
}

Result<TreeLock> TreeLock::wait(const fs::path& file, const std::string& what, Reporter& reporter) {
  std::string owner;
  while (true) {
    auto lock = try_now(file);
    if (!lock) return tl::make_unexpected(lock.error());
    if (*lock) return std::move(**lock);
    if (std::string now = owner_in(file); now != owner) {
      owner = std::move(now);
      reporter.stage("wait for another mmquake",
                     fmt::format("(PID {}), which has {}", owner, what));
    }
    // A blocking flock could not be interrupted.
    poll(nullptr, 0, kPollMs);
    if (reporter.tick()) return interrupted_error();
  }
}

void TreeLock::retire(const fs::path& file) && {
  unlink(file.c_str());
  fd_ = OwnedFd();
}

namespace {

// Whether process `pid` belongs to a build in the tree: its environment holds `entry`.
bool is_ours(const std::string& pid, const std::string& entry) {
  const auto environment = read_text(fs::path("/proc") / pid / "environ");
  if (!environment) return false;  // another user's, or gone
  const std::string with_end = entry + '\0';
  return environment->starts_with(with_end) ||
         environment->find('\0' + with_end) != std::string::npos;
}

struct Leftover {
  std::string pid;
  OwnedFd handle;
};

std::vector<Leftover> leftovers(const std::string& entry) {
  std::vector<Leftover> out;
  std::error_code error;
  for (fs::directory_iterator at("/proc", error), end; !error && at != end; at.increment(error)) {
    const std::string pid = at->path().filename();
    if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
    if (!is_ours(pid, entry)) continue;
    OwnedFd handle(static_cast<int>(syscall(SYS_pidfd_open, std::stoi(pid), 0)));
    // Looked at again: the number may have passed to another process before it was opened.
    if (handle && is_ours(pid, entry)) out.push_back({pid, std::move(handle)});
  }
  return out;
}

}  // namespace

Result<> end_leftovers(const fs::path& tree, Reporter& reporter) {
  const std::string entry = fmt::format("{}={}", kTreeVariable, tree.string());
  const auto start = std::chrono::steady_clock::now();
  int signal = SIGTERM;  // make removes what it was making
  while (true) {
    // Again and again: they may have started others meanwhile.
    const std::vector<Leftover> left = leftovers(entry);
    if (left.empty()) return {};
    reporter.stage("end a build that a killed mmquake left running",
                   fmt::format("({} processes)", left.size()));
    for (const Leftover& one : left) {
      syscall(SYS_pidfd_send_signal, one.handle.get(), signal, nullptr, 0);
    }
    for (const Leftover& one : left) {
      pollfd ended{one.handle.get(), POLLIN, 0};
      while (poll(&ended, 1, kPollMs) == 0) {
        if (reporter.tick()) return interrupted_error();
        if (std::chrono::steady_clock::now() - start > kPatience) break;
      }
    }
    const auto waited = std::chrono::steady_clock::now() - start;
    if (waited > 2 * kPatience) {
      return broken(
          fmt::format("process {} of an earlier build in {} does not end; end it with "
                      "kill -9 {}",
                      left[0].pid, tree.string(), left[0].pid));
    }
    if (waited > kPatience) signal = SIGKILL;
  }
}

}  // namespace mmquake::kernel
