// SPDX-License-Identifier: GPL-2.0-or-later
//
// Runs one trial in a child process and stays outside of it. The supervisor has an address
// space of its own, so a kernel that hangs on the runner's mmap_lock, or a runner that
// crashes, cannot stop heartbeats and summary.
#pragma once

#include <string>
#include <vector>

#include "guest/runner/record_sink.h"
#include "guest/runner/trial.h"

namespace mmquake {

struct SuperviseOptions {
  Widener* widener = nullptr;
  bool reap_orphans = false;                 // as PID 1
  bool machine_goes_on = false;              // after a trial: its processes have to end
  std::vector<std::string> refused_modules;  // told with the reason of a trial that is skipped
};

// Sends heartbeats, notes, findings and, last, the summary, which it also returns. The caller
// has one thread only. Ends even when the runner's process cannot.
Summary supervise(const GuestPlan& plan, const Registry& registry, Outlet& outlet,
                  const SuperviseOptions& options);

}  // namespace mmquake
