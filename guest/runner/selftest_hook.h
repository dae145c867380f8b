// SPDX-License-Identifier: GPL-2.0-or-later
//
// For the workloads in workloads/selftest/ only: they play a guest that misbehaves towards the
// host, so they reach past the runner. No other workload may include this.
#pragma once

#include "guest/runner/shared_state.h"

namespace mmquake::selftest {

// Set by init when the record channel is open; -1 outside of a VM.
void set_raw_channel(int fd);
int raw_channel();

// Set by the runner.
void set_shared_state(SharedState* state);
// From now on the guest sends no record at all.
void mute();

}  // namespace mmquake::selftest
