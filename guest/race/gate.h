// SPDX-License-Identifier: GPL-2.0-or-later
//
// How roles meet: one runner opens a round, every role passes the gate, does its work and
// arrives. A RoundGate lives in memory that all of them share (threads, or processes through a
// MAP_SHARED mapping); waiting is a futex, so nobody spins.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace mmquake {

using Deadline = std::chrono::steady_clock::time_point;

class RoundGate {
 public:
  // Runner: starts the next round. Everyone must have arrived in the one before.
  void open();
  // Runner: waits until `parties` have arrived in this round. False: the deadline passed.
  bool wait_arrivals(std::uint32_t parties, Deadline deadline);
  // Runner: how many have arrived in this round.
  std::uint32_t arrived() const { return arrived_.load(std::memory_order_acquire); }
  // Runner: there are no more rounds; everyone must have arrived in the last one. Every pass()
  // returns false from now on, and wait_arrivals() waits for those who leave.
  void close();

  // Role: waits for a round later than `seen`, which starts at 0 and is updated.
  // False: the gate is closed.
  bool pass(std::uint32_t& seen);
  // Role: exactly once after each pass(), also after the one that found the gate closed.
  void arrive();

 private:
  std::atomic<std::uint32_t> generation_{0};
  std::atomic<std::uint32_t> closed_{0};
  std::atomic<std::uint32_t> arrived_{0};
  std::atomic<std::uint32_t> awaited_{UINT32_MAX};  // arrivals that the runner waits for
};
static_assert(std::atomic<std::uint32_t>::is_always_lock_free);

}  // namespace mmquake
