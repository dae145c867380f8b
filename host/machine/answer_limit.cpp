// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/machine/answer_limit.h"

#include <utility>

namespace mmquake {

AnswerLimit::AnswerLimit(std::chrono::milliseconds limit, std::function<void()> too_late)
    : thread_([this, limit, too_late = std::move(too_late)] {
        std::unique_lock<std::mutex> lock(mutex_);
        if (returned_.wait_for(lock, limit, [this] { return over_; })) return;
        late_ = true;
        lock.unlock();
        too_late();
      }) {}

AnswerLimit::~AnswerLimit() {
  end();
}

bool AnswerLimit::end() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    over_ = true;
  }
  returned_.notify_one();
  if (thread_.joinable()) thread_.join();
  return late_;
}

}  // namespace mmquake
