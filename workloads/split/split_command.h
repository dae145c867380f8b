// SPDX-License-Identifier: GPL-2.0-or-later
//
// /sys/kernel/debug/split_huge_pages: asks the kernel to split the huge pages of a range.
#pragma once

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "guest/memory/mapping.h"

namespace mmquake {

class SplitCommand {
 public:
  Result<> open() {
    constexpr const char* kFile = "/sys/kernel/debug/split_huge_pages";
    fd_ = UniqueFd(::open(kFile, O_WRONLY | O_CLOEXEC));
    if (!fd_) {
      return skipped(
          fmt::format("open {}: {}: the kernel needs CONFIG_DEBUG_FS and "
                      "CONFIG_TRANSPARENT_HUGEPAGE",
                      kFile, errno_text(errno)));
    }
    // A range where nothing is mapped: nothing to do, for a kernel that understands it.
    const std::string nothing = fmt::format("{},{:#x},{:#x}", getpid(), kSmallPage, 2 * kSmallPage);
    if (::write(fd_.get(), nothing.c_str(), nothing.size() + 1) < 0 && errno == EINVAL) {
      return skipped(fmt::format("{} takes no process and range: a kernel before 5.13", kFile));
    }
    return {};
  }

  // The caller's own memory. Takes its mmap_lock for reading.
  Result<> split(std::uintptr_t address, std::size_t bytes) const {
    return write(fmt::format("{},{:#x},{:#x}", getpid(), address, address + bytes));
  }

  // Page `index` of a file. Takes no mmap_lock.
  Result<> split_file(int fd, std::size_t index) const {
    return write(fmt::format("/proc/{}/fd/{},{:#x},{:#x}", getpid(), fd, index, index + 1));
  }

 private:
  // A page that cannot be split just now is no error: the kernel says so in thp_split_page_failed.
  Result<> write(const std::string& text) const {
    // With the terminating zero: the kernel parses a string.
    if (::write(fd_.get(), text.c_str(), text.size() + 1) < 0) {
      return broken(fmt::format("split_huge_pages '{}': {}", text, errno_text(errno)));
    }
    return {};
  }

  UniqueFd fd_;
};

}  // namespace mmquake
