// SPDX-License-Identifier: GPL-2.0-or-later
//
// Swap on a disk of memory (/dev/ram0, CONFIG_BLK_DEV_RAM), so that anonymous memory can be
// reclaimed. Some MiB: meant for a guest, and for pages that come back soon.
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

 private:
  std::string device_;
};

}  // namespace mmquake
