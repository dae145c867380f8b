// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <functional>
#include <memory>
#include <thread>

#include "guest/protocol/result.h"

namespace mmquake {

// libvirt's event loop on a thread of its own. One a process, as libvirt has one; it starts with
// the first use and ends with the process.
class EventLoop {
 public:
  static Result<EventLoop*> instance();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;
  ~EventLoop();

  // Calls `ready` on the loop's thread whenever `fd` is readable. The handler may remove itself.
  Result<int> watch(int fd, std::function<void()> ready);
  void unwatch(int watch);

  // Runs `work` on the loop's thread and waits for its end, so that no handler runs meanwhile.
  void call(const std::function<void()>& work);

 private:
  EventLoop() = default;
  void run();

  std::thread thread_;
  int wake_timer_ = -1;
};

}  // namespace mmquake
