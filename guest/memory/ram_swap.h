// SPDX-License-Identifier: GPL-2.0-or-later
//
// Swap on a disk of memory, so that anonymous memory can be reclaimed: /dev/ram0
// (CONFIG_BLK_DEV_RAM), or zram (CONFIG_ZRAM), which compresses and gives back what is no longer
// used (Documentation/admin-guide/blockdev/zram.rst). Some MiB: meant for a guest, and for pages
// that come back soon.
#pragma once

#include <string>

#include "guest/protocol/result.h"

namespace mmquake {

// On while it lives.
class RamSwap {
 public:
  RamSwap() = default;
  RamSwap(const RamSwap&) = delete;
  RamSwap& operator=(const RamSwap&) = delete;
  ~RamSwap();

  // Writes a swap header to the device, and swapon()s it. An error of kind kSkipped if the kernel
  // has no such disk or no swap.
  Result<> start(const std::string& device = "/dev/ram0");
  // The same on zram. An error of kind kSkipped if the kernel has none, or no compressor for it.
  Result<> start_on_zram();

  const std::string& device() const { return device_; }
  // Whether the disk keeps, after the end, what was written to it.
  bool keeps_memory() const { return zram_.empty(); }

 private:
  std::string device_;
  std::string zram_;  // its folder in sysfs; empty: another disk
};

}  // namespace mmquake
