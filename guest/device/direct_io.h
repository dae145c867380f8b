// SPDX-License-Identifier: GPL-2.0-or-later
//
// O_DIRECT: the kernel takes references on the caller's pages for the time of a transfer, by
// get_user_pages_fast(), and the block device reads and writes through them.
#pragma once

#include <memory>
#include <string>

#include "guest/device/device_mirror.h"
#include "guest/memory/mapping.h"

namespace mmquake {

// Reads and writes by way of a disk of memory, whose content is lost. Ranges are of whole pages and
// have at most kMaxBytes.
class DirectIo final : public DeviceMirror {
 public:
  static constexpr std::size_t kMaxBytes = 64 * kSmallPage;

  // An error of kind kSkipped without the device (CONFIG_BLK_DEV_RAM).
  static Result<std::unique_ptr<DirectIo>> open(const std::string& device = "/dev/ram0");

  std::string_view name() const override { return "direct-io"; }
  Result<> read(std::uintptr_t address, void* to, std::size_t bytes) override;
  Result<> write(std::uintptr_t address, const void* from, std::size_t bytes) override;

 private:
  DirectIo(UniqueFd fd, Mapping buffer) : fd_(std::move(fd)), buffer_(std::move(buffer)) {}

  UniqueFd fd_;
  Mapping buffer_;  // of small pages, to and from the disk
};

}  // namespace mmquake
