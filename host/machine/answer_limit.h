// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

namespace mmquake {

// libvirt waits without end for a QEMU that does not answer (somebody stopped it, its disk hangs).
// Around such a call: when it has not returned after `limit`, `too_late` runs once on another
// thread, and has to make it return.
class AnswerLimit {
 public:
  AnswerLimit(std::chrono::milliseconds limit, std::function<void()> too_late);
  AnswerLimit(const AnswerLimit&) = delete;
  AnswerLimit& operator=(const AnswerLimit&) = delete;
  ~AnswerLimit();

  // The call has returned. Was it too late?
  bool end();

 private:
  std::mutex mutex_;
  std::condition_variable returned_;
  bool over_ = false;
  bool late_ = false;
  std::thread thread_;
};

}  // namespace mmquake
