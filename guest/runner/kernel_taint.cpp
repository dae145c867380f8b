// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/runner/kernel_taint.h"

#include <fstream>

namespace mmquake {

std::uint64_t kernel_complaints(const std::string& file) {
  constexpr std::uint64_t kBadPage = 1U << 5;
  constexpr std::uint64_t kOops = 1U << 7;
  constexpr std::uint64_t kWarning = 1U << 9;
  constexpr std::uint64_t kSoftLockup = 1U << 14;
  std::uint64_t taint = 0;
  std::ifstream in(file);
  return in >> taint ? taint & (kBadPage | kOops | kWarning | kSoftLockup) : 0;
}

}  // namespace mmquake
