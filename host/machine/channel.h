// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

#include "guest/protocol/result.h"
#include "host/machine/file_descriptor.h"

namespace mmquake {

// The host's end of one record channel: a unix socket that never blocks and buffers at most
// kMaxPending bytes for a guest that does not read.
class Channel {
 public:
  static constexpr std::size_t kMaxPending = 1 << 20;

  static Result<Channel> connect(const std::filesystem::path& socket);
  // Of a machine that lacks the device: closed.
  static Channel none() { return Channel(FileDescriptor()); }

  // What has come, at most `limit` bytes. End of file closes the channel.
  std::string receive(std::size_t limit);

  // Takes the whole message or nothing. False: the buffer is full or the channel is closed.
  bool send(std::string_view message);

  // Writes as much of the buffer as the socket takes.
  void flush();

  bool closed() const { return !socket_; }
  int fd() const { return socket_.get(); }
  std::size_t pending() const { return pending_.size() - written_; }

 private:
  explicit Channel(FileDescriptor socket) : socket_(std::move(socket)) {}
  void drop();

  FileDescriptor socket_;
  std::string pending_;
  std::size_t written_ = 0;  // of pending_
};

}  // namespace mmquake
