// SPDX-License-Identifier: GPL-2.0-or-later
//
// The kernel's own test driver for pins, /sys/kernel/debug/gup_test (CONFIG_GUP_TEST).
#pragma once

#include <memory>
#include <vector>

#include "guest/device/pinning_device.h"
#include "guest/memory/mapping.h"

namespace mmquake {

// Which way a benchmark pins.
enum class PinCall {
  kLongterm,  // pin_user_pages(FOLL_LONGTERM): page tables are walked under the mmap lock
  kFast       // pin_user_pages_fast(): without it
};

// What one benchmark did. Times are the kernel's own, in microseconds.
struct PinTiming {
  bool pinned = false;  // the whole range; the driver's return value says 0 either way
  std::uint64_t pin_us = 0;
  std::uint64_t unpin_us = 0;
};

class GupTest final : public PinningDevice {
 public:
  // An error of kind kSkipped if the kernel does not have it.
  static Result<std::unique_ptr<GupTest>> open();
  // The same if it cannot hold a pin (before 6.2), which a page of its own tells.
  static Result<std::unique_ptr<GupTest>> open_to_hold();
  ~GupTest() override;
  GupTest(const GupTest&) = delete;
  GupTest& operator=(const GupTest&) = delete;

  std::string_view name() const override { return "gup_test"; }
  bool long_term() const override { return true; }
  // PIN_LONGTERM_TEST_START, since 6.2. Older kernels answer EINVAL: they cannot hold a pin.
  int pin(std::uintptr_t address, std::size_t bytes) override;
  Result<> unpin() override;
  // The driver copies the whole pinned range at a time, and cannot write.
  Result<> read(std::uintptr_t address, void* to, std::size_t bytes) override;
  Result<> write(std::uintptr_t address, const void* from, std::size_t bytes) override;

  // PIN_LONGTERM_BENCHMARK or PIN_FAST_BENCHMARK: pins in one call, lets the kernel itself look
  // whether each page is pinned and may be (a WARN in its log when not), unpins.
  Result<PinTiming> pin_and_check(PinCall call, std::uintptr_t address, std::size_t bytes);

 private:
  explicit GupTest(UniqueFd fd) : fd_(std::move(fd)) {}

  UniqueFd fd_;
  std::uintptr_t address_ = 0;
  std::size_t bytes_ = 0;
  std::vector<std::byte> copy_;
};

}  // namespace mmquake
