// SPDX-License-Identifier: GPL-2.0-or-later
//
// How long the kernel's own detectors wait. The guest sets them, and the host must know them to
// tell whether the guest had that time at all.
#pragma once

#include <algorithm>
#include <cmath>

namespace mmquake {

// In seconds. Each is longer than the one before, and the host's "no output" longer than the last.
struct DetectorTimes {
  int rcu_stall = 10;
  int soft_lockup = 16;
  int hung_task = 20;
};

// `scale` is GuestPlan::slowdown. The upper end keeps them inside of what watchdog_thresh (half of
// a soft lockup's time) accepts: 60.
inline DetectorTimes detector_times(double scale) {
  const double unit = std::clamp(10 + 2 * (scale - 1), 10.0, 40.0);
  const auto times = [unit](double factor) { return static_cast<int>(std::ceil(unit * factor)); };
  return {times(1), 2 * times(0.75), times(2)};
}

}  // namespace mmquake
