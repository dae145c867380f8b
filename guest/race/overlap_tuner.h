// SPDX-License-Identifier: GPL-2.0-or-later
//
// Self-calibrating jitter: when two sides have to start so that their operations overlap.
//
// Two threads that are released together do not start together: the one that slept is woken later,
// by an amount that changes with the load, and an operation of 50 us is over before the other side
// has begun. So every attempt is fed back: from the last ones come the medians of both operations'
// lengths and of the skew that nobody asked for, and the next attempt is aimed, with that skew
// taken off, at a point drawn evenly from all relative starts at which the two would overlap.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace mmquake {

// When an operation ran, both ends on one clock (CLOCK_MONOTONIC for workloads).
struct TimeSpan {
  std::int64_t begin_ns = 0;
  std::int64_t end_ns = 0;
};

// CLOCK_MONOTONIC now.
std::int64_t now_ns();
// Returns at `at_ns` or a little later. Sleeps while there is time, and yields at the end.
void wait_until_ns(std::int64_t at_ns);

// Did both run at one time? Spans that only touch do not overlap.
bool overlap(const TimeSpan& a, const TimeSpan& b);

// The median of the last values that it was given; 0 without any.
class RunningMedian {
 public:
  void add(std::int64_t value);
  std::int64_t value() const;
  std::size_t count() const { return count_; }

 private:
  std::array<std::int64_t, 15> last_{};
  std::size_t next_ = 0;
  std::size_t count_ = 0;
};

// For one pair of sides; not thread-safe. One side calls next() before an attempt and record()
// after it.
class OverlapTuner {
 public:
  // How long each side has to wait after the common release. One of the two is 0.
  struct Delays {
    std::int64_t first_ns = 0;
    std::int64_t second_ns = 0;
  };

  // `max_delay_ns` bounds what next() asks for, whatever was measured. `focus` is the part of the
  // first operation, from its start on, that the second one is to meet: 1 for all of it.
  explicit OverlapTuner(std::int64_t max_delay_ns, double focus = 1)
      : max_delay_ns_(max_delay_ns), focus_(focus) {}

  // The delays of the next attempt; `draw` is any random number.
  Delays next(std::uint64_t draw);
  // What came of it. True: the two overlapped.
  bool record(const TimeSpan& first, const TimeSpan& second);

 private:
  std::int64_t max_delay_ns_;
  double focus_;
  std::int64_t asked_ns_ = 0;  // how much later than the first the second was to start
  RunningMedian skew_, first_length_, second_length_;
};

}  // namespace mmquake
