// SPDX-License-Identifier: GPL-2.0-or-later
//
// io_uring's registered ("fixed") buffers: pinned for long and writable, and read and written by
// the kernel through the pinned pages.
#pragma once

#include <liburing.h>

#include <memory>

#include "guest/device/pinning_device.h"
#include "guest/memory/mapping.h"

namespace mmquake {

// Pins with FOLL_WRITE | FOLL_LONGTERM (io_uring/rsrc.c, io_pin_pages). read() and write() go by
// WRITE_FIXED and READ_FIXED through a memfd, and need a pinned range that holds theirs.
class IoUringBuffer final : public PinningDevice {
 public:
  // An error of kind kSkipped if this kernel has no io_uring.
  static Result<std::unique_ptr<IoUringBuffer>> open();
  ~IoUringBuffer() override;
  IoUringBuffer(const IoUringBuffer&) = delete;
  IoUringBuffer& operator=(const IoUringBuffer&) = delete;

  std::string_view name() const override { return "io_uring"; }
  bool long_term() const override { return true; }
  int pin(std::uintptr_t address, std::size_t bytes) override;
  Result<> unpin() override;
  Result<> read(std::uintptr_t address, void* to, std::size_t bytes) override;
  Result<> write(std::uintptr_t address, const void* from, std::size_t bytes) override;

 private:
  IoUringBuffer() = default;
  Result<> in_range(std::uintptr_t address, std::size_t bytes) const;
  // Moves all bytes between the buffer and the start of the memfd.
  Result<> transfer(bool to_file, std::uintptr_t address, std::size_t bytes);

  io_uring ring_{};
  bool has_ring_ = false;
  UniqueFd file_;
  std::uintptr_t address_ = 0;
  std::size_t bytes_ = 0;  // 0: nothing is pinned
};

}  // namespace mmquake
