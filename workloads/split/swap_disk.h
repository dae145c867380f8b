// SPDX-License-Identifier: GPL-2.0-or-later
//
// Swap on a RAM disk, for as long as this lives. Overwrites /dev/ram0: meant for a guest.
#pragma once

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/swap.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>

#include "guest/memory/mapping.h"

namespace mmquake {

class SwapDisk {
 public:
  SwapDisk() = default;
  SwapDisk(const SwapDisk&) = delete;
  SwapDisk& operator=(const SwapDisk&) = delete;
  ~SwapDisk() {
    if (on_) {
      (void)swapoff(kDevice);  // a guest that ends has no use for the error
    }
  }

  Result<> set() {
    UniqueFd disk(open(kDevice, O_RDWR | O_CLOEXEC));
    std::uint64_t bytes = 0;
    if (!disk || ioctl(disk.get(), BLKGETSIZE64, &bytes) != 0) {
      return skipped(std::string(kDevice) + ": " + errno_text(errno) +
                     ": the kernel needs CONFIG_BLK_DEV_RAM");
    }
    // union swap_header of include/linux/swap.h: version, last page, bad pages; magic at the end.
    std::array<char, kSmallPage> header{};
    const std::uint32_t version = 1;
    const auto last_page = static_cast<std::uint32_t>(bytes / kSmallPage - 1);
    std::memcpy(header.data() + 1024, &version, sizeof(version));
    std::memcpy(header.data() + 1028, &last_page, sizeof(last_page));
    std::memcpy(header.data() + kSmallPage - 10, "SWAPSPACE2", 10);
    if (pwrite(disk.get(), header.data(), header.size(), 0) !=
            static_cast<ssize_t>(header.size()) ||
        fsync(disk.get()) != 0) {
      return broken(std::string("write a swap header to ") + kDevice + ": " + errno_text(errno));
    }
    if (swapon(kDevice, 0) != 0) {
      return skipped(std::string("swapon ") + kDevice + ": " + errno_text(errno) +
                     ": the kernel needs CONFIG_SWAP");
    }
    on_ = true;
    return {};
  }

 private:
  static constexpr const char* kDevice = "/dev/ram0";
  bool on_ = false;
};

}  // namespace mmquake
