// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

namespace mmquake {

// Returns when the host has looked at the guest as it is now. For a workload that is about to undo
// what it has found, before it reports it; from the runner's own thread. Without a host that
// answers it does nothing.
void let_host_look();

}  // namespace mmquake
