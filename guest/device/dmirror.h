// SPDX-License-Identifier: GPL-2.0-or-later
//
// The device of lib/test_hmm.c (CONFIG_TEST_HMM): it reads and writes a process's memory through
// page tables of its own, which hmm_range_fault() fills and an mmu notifier empties. It holds no
// reference on a page, so a page of which it was not told that it goes away is used on.
//
// It drops the one small page behind a range that it is told of as well: what must not be hidden
// by that does not lie in the first 4 KiB after a range.
#pragma once

#include <memory>
#include <string>

#include "guest/device/device_mirror.h"
#include "guest/memory/mapping.h"

namespace mmquake {

// Mirrors the address space of the process that made it.
class Dmirror final : public DeviceMirror {
 public:
  // An error of kind kSkipped names what the kernel lacks.
  static Result<std::unique_ptr<Dmirror>> open(const std::string& path = "/dev/hmm_dmirror0");

  std::string_view name() const override { return "dmirror"; }
  Result<> read(std::uintptr_t address, void* to, std::size_t bytes) override;
  // The device writes whole small pages: what else lies on them is read before and written back,
  // so nobody else may write there meanwhile.
  Result<> write(std::uintptr_t address, const void* from, std::size_t bytes) override;

 private:
  explicit Dmirror(UniqueFd fd) : fd_(std::move(fd)) {}
  Result<> transfer(unsigned long request, std::uintptr_t page, std::string& buffer);

  UniqueFd fd_;
};

}  // namespace mmquake
