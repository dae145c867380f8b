// SPDX-License-Identifier: GPL-2.0-or-later
//
// When a process of the guest dies of its own fault: who, of what, at which address.
#pragma once

#include <string>
#include <vector>

#include "guest/runner/shared_state.h"

namespace mmquake {

// Marks fatal signals of this process and its children in `state`, then lets them kill. A
// workload that wants a signal for itself may install its own handler afterwards.
void mark_crashes(SharedState& state);

// An alternate signal stack for the calling thread, for as long as the object lives.
class SignalStack {
 public:
  SignalStack();
  SignalStack(const SignalStack&) = delete;
  SignalStack& operator=(const SignalStack&) = delete;
  ~SignalStack();

 private:
  std::vector<char> memory_;
};

// A sentence for `who` whose wait status is `status`.
std::string describe_death(const std::string& who, int status, const SharedState& state);

}  // namespace mmquake
