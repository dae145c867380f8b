// SPDX-License-Identifier: GPL-2.0-or-later
//
// The record channel: the virtio-serial port "mmquake.records", or ttyS1 where there is none.
// Nothing here blocks on the host. Heartbeats and notes are dropped when nobody reads;
// findings and the summary never are.
#pragma once

#include <chrono>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "guest/runner/record_sink.h"

namespace mmquake {

class Channel final : public Outlet {
 public:
  // Waits for the port to appear, since virtio probes it asynchronously.
  static Result<Channel> open();
  // Takes the file descriptor over; it is made non-blocking.
  Channel(int fd, std::string name);
  Channel(Channel&& other) noexcept;
  Channel& operator=(Channel&&) = delete;
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;
  ~Channel() override;

  void send(const Record& record) override;
  int fd() const override { return hung_up_ ? -1 : fd_; }
  short events() const override;
  void pump() override;
  std::uint64_t dropped() const override { return dropped_; }

  bool is_answered() const override { return true; }
  std::vector<Record> received() override;
  // Waits until the channel has something to do, at most `time`.
  void wait(std::chrono::milliseconds time);
  // Writes what is queued, until `time` is over. False: something is left.
  bool drain(std::chrono::milliseconds time);
  const std::string& name() const { return name_; }
  int raw_fd() const { return fd_; }

 private:
  void write_queue();
  void read_input();

  int fd_ = -1;
  std::string name_;
  bool hung_up_ = false;  // the host is not connected: polling would return at once
  std::deque<std::string> queue_;
  std::size_t queued_bytes_ = 0;
  std::size_t written_ = 0;  // of the first frame
  std::uint64_t dropped_ = 0;
  RecordReader reader_;
  std::vector<Record> received_;
};

}  // namespace mmquake
