// SPDX-License-Identifier: GPL-2.0-or-later
//
// The oracle about pins that fail: may user space blame the kernel for this errno?
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace mmquake {

// What is known about a long-term pin that failed.
struct Refusal {
  int error = 0;                    // the errno
  std::uint64_t failed_moves = 0;   // pgmigrate_fail during the call, of the whole machine
  std::uint64_t available_kib = 0;  // MemAvailable after it
  std::uint64_t wanted_kib = 0;     // what was to be pinned
  bool may_lock = true;             // no RLIMIT_MEMLOCK for the caller
};

// Why the kernel is right, or nullopt: memory is plentiful, no migration failed, the caller may
// lock as much as it likes, and the kernel says ENOMEM or EAGAIN all the same.
std::optional<std::string> why_refused(const Refusal& refusal);

}  // namespace mmquake
