// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/runner/shared_counters.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>

namespace mmquake {

Counter SharedCounters::get(const std::string& name) {
  Counter counter;
  const std::uint32_t count = state_.counter_count.load(std::memory_order_relaxed);
  for (std::uint32_t i = 0; i < count; ++i) {
    if (name == state_.counters[i].name.data()) {
      counter.slot_ = &state_.counters[i].value;
      return counter;
    }
  }
  if (count == kMaxCounters || name.empty() || name.size() > kMaxCounterName) {
    std::fprintf(stderr,
                 "mmquake: cannot make counter '%s': a trial has at most %zu counters, with "
                 "names of 1 to %zu bytes\n",
                 name.c_str(), kMaxCounters, kMaxCounterName);
    std::abort();
  }
  CounterSlot& slot = state_.counters[count];
  std::copy(name.begin(), name.end(), slot.name.begin());
  counter.slot_ = &slot.value;
  state_.counter_count.store(count + 1, std::memory_order_release);
  return counter;
}

Counters SharedCounters::values() const {
  Counters out;
  const std::uint32_t count = state_.counter_count.load(std::memory_order_acquire);
  for (std::uint32_t i = 0; i < count && i < kMaxCounters; ++i) {
    out[state_.counters[i].name.data()] =
        std::atomic_ref(state_.counters[i].value).load(std::memory_order_relaxed);
  }
  return out;
}

void Counter::add(std::uint64_t n) {
  if (slot_ == nullptr) {
    std::fprintf(stderr, "mmquake: a Counter was used that Environment::counter() never made\n");
    std::abort();
  }
  std::atomic_ref(*slot_).fetch_add(n, std::memory_order_relaxed);
}

std::uint64_t Counter::value() const {
  return slot_ == nullptr ? 0 : std::atomic_ref(*slot_).load(std::memory_order_relaxed);
}

}  // namespace mmquake
