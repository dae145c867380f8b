// SPDX-License-Identifier: GPL-2.0-or-later
//
// Memory as a device sees it that mirrors or pins a process's pages: through page tables of its
// own that an mmu notifier keeps in step (HMM, KVM), or through references (io_uring, gup_test).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "guest/protocol/result.h"

namespace mmquake {

// One device that looks at memory of the calling process. What it reads and writes goes through
// the device's own mapping of the address, never through the process's page tables.
class DeviceMirror {
 public:
  virtual ~DeviceMirror() = default;
  virtual std::string_view name() const = 0;  // "dmirror", "kvm", "io_uring", ...
  // The range lies in memory that the device was given. An error is the device's refusal (errno in
  // words), never a judgement on the bytes.
  virtual Result<> read(std::uintptr_t address, void* to, std::size_t bytes) = 0;
  virtual Result<> write(std::uintptr_t address, const void* from, std::size_t bytes) = 0;
};

}  // namespace mmquake
