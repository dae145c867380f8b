// SPDX-License-Identifier: GPL-2.0-or-later
//
// Someone who holds references on pages of the calling process, as drivers do for I/O.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "guest/protocol/result.h"

namespace mmquake {

// Holds one range at a time. Not for several threads at once.
class Pinner {
 public:
  virtual ~Pinner() = default;
  virtual std::string_view name() const = 0;
  // FOLL_LONGTERM: the kernel must move the pages out of ZONE_MOVABLE and CMA first. Otherwise they
  // may be held wherever they are.
  virtual bool long_term() const = 0;
  // Holds all pages of a range of whole pages until unpin(). Returns 0 or the kernel's errno, and
  // then holds nothing. EBUSY: a range is held already.
  virtual int pin(std::uintptr_t address, std::size_t bytes) = 0;
  virtual Result<> unpin() = 0;
};

}  // namespace mmquake
