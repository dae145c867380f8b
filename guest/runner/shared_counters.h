// SPDX-License-Identifier: GPL-2.0-or-later
//
// The named counters of a trial, in shared memory. Created by one thread, added to by all.
#pragma once

#include <string>

#include "guest/runner/shared_state.h"
#include "guest/runner/workload.h"

namespace mmquake {

class SharedCounters {
 public:
  explicit SharedCounters(SharedState& state) : state_(state) {}
  // The counter of that name, made on first use. Aborts with a message when the table is full
  // or the name too long: both are mistakes of the workload's author.
  Counter get(const std::string& name);
  Counters values() const;

 private:
  SharedState& state_;
};

}  // namespace mmquake
