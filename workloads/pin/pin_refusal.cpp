// SPDX-License-Identifier: GPL-2.0-or-later
#include "workloads/pin/pin_refusal.h"

#include <cerrno>

namespace mmquake {
namespace {

// "Plentiful": a pin may have to copy all of its pages, and the kernel keeps reserves.
constexpr std::uint64_t kSpareKib = 64UL * 1024;

}  // namespace

std::optional<std::string> why_refused(const Refusal& refusal) {
  if (refusal.error != ENOMEM && refusal.error != EAGAIN) {
    return "it is not about memory";
  }
  if (!refusal.may_lock) {
    return "the caller has no right to lock so much memory";
  }
  if (refusal.failed_moves > 0) {
    return "a migration failed meanwhile: somebody else holds a page";
  }
  if (refusal.available_kib < refusal.wanted_kib + kSpareKib) {
    return "memory is scarce";
  }
  return std::nullopt;
}

}  // namespace mmquake
