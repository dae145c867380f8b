// SPDX-License-Identifier: GPL-2.0-or-later
//
// What supervisor, runner and role processes share: one MAP_SHARED mapping, made before the
// first fork. It holds no pointers but Counter's, which every process maps at one address.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "guest/protocol/result.h"
#include "guest/race/gate.h"
#include "guest/runner/cpu_work.h"

namespace mmquake {

inline constexpr std::size_t kMaxRoles = 64;
inline constexpr std::size_t kMaxCounters = 1024;
inline constexpr std::size_t kMaxCounterName = 127;

enum class RoleState : std::uint32_t { kParked, kRunning, kHung, kDone };

struct RoleSlot {
  std::array<char, 32> name{};
  std::atomic<RoleState> state{RoleState::kParked};
  std::atomic<std::uint64_t> steps{0};
  // CLOCK_MONOTONIC of the last step, or of the start of the round.
  std::atomic<std::int64_t> progress_ns{0};
  std::atomic<int> pid{0};
  std::atomic<int> tid{0};
  std::atomic<int> start_error{0};  // errno of pinning
};

struct CounterSlot {
  std::array<char, kMaxCounterName + 1> name{};
  std::uint64_t value = 0;  // through std::atomic_ref
};

// Left by the signal handler of a process of ours that dies.
struct CrashMark {
  std::atomic<int> signal{0};
  std::atomic<std::uint64_t> address{0};
  std::atomic<int> tid{0};
};

struct SharedState {
  RoundGate gate;
  std::atomic<std::uint32_t> stopping{0};
  std::atomic<std::uint64_t> round{0};
  std::atomic<std::int64_t> started_ns{0};  // 0: no round has started
  // The runner's own pulse: the supervisor reports a runner that stops.
  std::atomic<std::int64_t> runner_progress_ns{0};
  std::atomic<const char*> runner_phase{"starting"};  // a literal: one address in all processes
  std::atomic<std::uint32_t> muted{0};                // selftest-silent
  CrashMark crash;
  CpuWork cpu_work;
  std::atomic<std::uint32_t> role_count{0};
  std::array<RoleSlot, kMaxRoles> roles;
  std::atomic<std::uint32_t> counter_count{0};
  std::array<CounterSlot, kMaxCounters> counters;
};

// Owns the mapping.
class SharedMapping {
 public:
  static Result<SharedMapping> create();
  SharedMapping(SharedMapping&& other) noexcept;
  SharedMapping& operator=(SharedMapping&& other) noexcept;
  SharedMapping(const SharedMapping&) = delete;
  SharedMapping& operator=(const SharedMapping&) = delete;
  ~SharedMapping();

  SharedState& operator*() const { return *state_; }
  SharedState* operator->() const { return state_; }

 private:
  explicit SharedMapping(SharedState* state) : state_(state) {}
  SharedState* state_ = nullptr;
};

std::int64_t monotonic_ns();

}  // namespace mmquake
