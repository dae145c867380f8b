// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/machine/channel.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace mmquake {

Result<Channel> Channel::connect(const std::filesystem::path& socket) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = socket.string();
  if (path.size() >= sizeof(address.sun_path)) {
    return broken("connect to '" + path + "': the path is too long for a socket");
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  FileDescriptor fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  // QEMU listens before libvirt says that the VM runs, so there is no need to try again.
  if (!fd || ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address))) {
    return broken("connect to '" + path + "': " + std::strerror(errno));
  }
  return Channel(std::move(fd));
}

std::string Channel::receive(std::size_t limit) {
  std::string bytes;
  std::array<char, 64 << 10> chunk{};
  while (socket_ && bytes.size() < limit) {
    const std::size_t room = std::min(chunk.size(), limit - bytes.size());
    const ssize_t got = ::recv(socket_.get(), chunk.data(), room, 0);
    if (got > 0) {
      bytes.append(chunk.data(), static_cast<std::size_t>(got));
    } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
      drop();
    } else if (errno == EAGAIN) {
      break;
    }
  }
  return bytes;
}

bool Channel::send(std::string_view message) {
  flush();
  if (!socket_ || pending() + message.size() > kMaxPending) return false;
  pending_.erase(0, written_);
  written_ = 0;
  pending_.append(message);
  flush();
  return !closed();
}

void Channel::flush() {
  while (socket_ && pending() > 0) {
    const ssize_t sent = ::send(socket_.get(), pending_.data() + written_, pending(), MSG_NOSIGNAL);
    if (sent > 0) {
      written_ += static_cast<std::size_t>(sent);
    } else if (errno == EAGAIN) {
      return;
    } else if (errno != EINTR) {
      // Unread input stays readable: receive() finds the end of file after it.
      pending_.clear();
      written_ = 0;
      return;
    }
  }
  if (pending() == 0) {
    pending_.clear();
    written_ = 0;
  }
}

void Channel::drop() {
  socket_.reset();
  pending_.clear();
  written_ = 0;
}

}  // namespace mmquake
