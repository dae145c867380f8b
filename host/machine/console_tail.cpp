// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/machine/console_tail.h"

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>

namespace mmquake {
namespace {

constexpr std::uint32_t kNews = IN_MODIFY | IN_MOVE_SELF | IN_ATTRIB;  // ATTRIB: unlinked

}  // namespace

Result<ConsoleTail> ConsoleTail::create(const std::filesystem::path& path) {
  FileDescriptor file(open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!file) {
    return broken("cannot write '" + path.string() + "': " + std::strerror(errno) +
                  "; is the directory there, and the disk not full?");
  }
  FileDescriptor inotify(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!inotify || inotify_add_watch(inotify.get(), path.c_str(), kNews) < 0) {
    return broken("cannot watch '" + path.string() + "': " + std::strerror(errno) +
                  "; raise fs.inotify.max_user_instances with sysctl");
  }
  return ConsoleTail(path, std::move(file), std::move(inotify));
}

bool ConsoleTail::reopen_if_rotated() {
  struct stat held {};
  struct stat named {};
  if (fstat(file_.get(), &held) != 0 || stat(path_.c_str(), &named) != 0) return false;
  if (held.st_ino == named.st_ino && held.st_dev == named.st_dev) return false;
  FileDescriptor next(open(path_.c_str(), O_RDONLY | O_CLOEXEC));
  if (!next || inotify_add_watch(inotify_.get(), path_.c_str(), kNews) < 0) return false;
  file_ = std::move(next);
  return true;
}

std::string ConsoleTail::read(std::size_t limit) {
  // News first, bytes after: what is written in between is news again.
  std::array<char, 4096> news{};
  while (::read(inotify_.get(), news.data(), news.size()) > 0) {
  }
  std::string bytes;
  std::array<char, 64 << 10> chunk{};
  while (bytes.size() < limit) {
    const ssize_t got =
        ::read(file_.get(), chunk.data(), std::min(chunk.size(), limit - bytes.size()));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      if (got == 0 && reopen_if_rotated()) continue;
      break;
    }
    bytes.append(chunk.data(), static_cast<std::size_t>(got));
  }
  return bytes;
}

}  // namespace mmquake
