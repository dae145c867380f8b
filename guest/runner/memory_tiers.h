// SPDX-License-Identifier: GPL-2.0-or-later
//
// Nodes that the kernel takes for slower than others: its memory tiers (6.1, mm/memory-tiers.c).
// Reclaim can move cold pages down to them. A node without CPUs that is there at boot is in the
// same tier as all the others; memory that dax/kmem brings is in a slower one.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "guest/memory/kernel_counters.h"
#include "guest/protocol/result.h"

namespace mmquake {

// Gives the devices of reserved memory to the driver that makes it ordinary memory of the node that
// the firmware's tables have for it. From 6.3 on the kernel does so by itself, before that such a
// device goes to device_dax (drivers/dax/bus.c). Returns how many it gave: 0 where there are none.
Result<int> give_dax_memory_to_kernel(const std::string& sysfs = "/sys");

// The nodes with memory in any tier but the fastest; none if the kernel knows no tiers.
std::vector<int> slow_nodes(const std::string& sysfs = "/sys");

// Small pages that reclaim has moved down since boot, whoever reclaimed. From 6.12 on the count is
// an amount: without fold_vmstat() it may lag by some pages of each CPU.
std::uint64_t demotions_in(const KernelCounters& vmstat);

// Reclaim demotes while this lives.
class DemotionSwitch {
 public:
  DemotionSwitch() = default;
  DemotionSwitch(const DemotionSwitch&) = delete;
  DemotionSwitch& operator=(const DemotionSwitch&) = delete;
  ~DemotionSwitch();

  // An error of kind kSkipped if the kernel has no such switch.
  Result<> turn_on(const std::string& sysfs = "/sys");

 private:
  std::string file_;  // empty: not turned on
};

}  // namespace mmquake
