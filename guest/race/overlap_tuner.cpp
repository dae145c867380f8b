// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/race/overlap_tuner.h"

#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <ctime>

namespace mmquake {
namespace {

constexpr std::int64_t kSecondNs = 1'000'000'000;
// A sleep ends late by about so much, so the last part is yielded.
constexpr std::int64_t kYieldNs = 300'000;

}  // namespace

std::int64_t now_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * kSecondNs + now.tv_nsec;
}

void wait_until_ns(std::int64_t at_ns) {
  const std::int64_t until = at_ns - kYieldNs;
  if (now_ns() < until) {
    const timespec at{until / kSecondNs, until % kSecondNs};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, nullptr) == EINTR) {
    }
  }
  while (now_ns() < at_ns) {
    sched_yield();
  }
}

bool overlap(const TimeSpan& a, const TimeSpan& b) {
  return a.begin_ns < b.end_ns && b.begin_ns < a.end_ns;
}

void RunningMedian::add(std::int64_t value) {
  last_[next_] = value;
  next_ = (next_ + 1) % last_.size();
  count_ = std::min(count_ + 1, last_.size());
}

std::int64_t RunningMedian::value() const {
  if (count_ == 0) {
    return 0;
  }
  std::array<std::int64_t, 15> sorted = last_;
  const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(count_ / 2);
  std::nth_element(sorted.begin(), middle, sorted.begin() + static_cast<std::ptrdiff_t>(count_));
  return *middle;
}

OverlapTuner::Delays OverlapTuner::next(std::uint64_t draw) {
  // The second may start from its own length before the first until the end of what is aimed at.
  const std::int64_t earliest = -second_length_.value();
  const auto latest =
      static_cast<std::int64_t>(static_cast<double>(first_length_.value()) * focus_);
  const std::int64_t width = latest - earliest;
  const std::int64_t aim =
      width > 0 ? earliest + static_cast<std::int64_t>(draw % static_cast<std::uint64_t>(width))
                : 0;
  asked_ns_ = std::clamp(aim - skew_.value(), -max_delay_ns_, max_delay_ns_);
  return asked_ns_ >= 0 ? Delays{0, asked_ns_} : Delays{-asked_ns_, 0};
}

bool OverlapTuner::record(const TimeSpan& first, const TimeSpan& second) {
  skew_.add(second.begin_ns - first.begin_ns - asked_ns_);
  first_length_.add(first.end_ns - first.begin_ns);
  second_length_.add(second.end_ns - second.begin_ns);
  return overlap(first, second);
}

}  // namespace mmquake
