// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/machine/console_tail.h"

#include <fcntl.h>
#include <sys/inotify.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace mmquake {

Result<ConsoleTail> ConsoleTail::create(const std::filesystem::path& path) {
  FileDescriptor file(open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!file) {
    return broken("cannot write '" + path.string() + "': " + std::strerror(errno) +
                  "; is the directory there, and the disk not full?");
  }
  FileDescriptor inotify(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!inotify || inotify_add_watch(inotify.get(), path.c_str(), IN_MODIFY) < 0) {
    return broken("cannot watch '" + path.string() + "': " + std::strerror(errno) +
                  "; raise fs.inotify.max_user_instances with sysctl");
  }
  return ConsoleTail(std::move(file), std::move(inotify));
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
    if (got <= 0) break;
    bytes.append(chunk.data(), static_cast<std::size_t>(got));
  }
  return bytes;
}

}  // namespace mmquake
