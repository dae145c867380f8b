// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

namespace mmquake {

// SIGINT, SIGTERM and SIGHUP ask for an orderly end; a second one ends at once (the reaper then
// ends the VMs).
void catch_interrupts();

// Whether one came. Async-signal-safe state, cheap to ask.
bool interrupted();

// 128 + the signal that came.
int interrupted_exit_code();

}  // namespace mmquake
