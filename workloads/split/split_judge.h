// SPDX-License-Identifier: GPL-2.0-or-later
//
// What must be in memory after a split, and what it means if it is not.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "guest/protocol/records.h"

namespace mmquake {

// A word that was looked at when nobody was at work any more.
struct SeenValue {
  enum class Must {
    kStay,    // it was written and nobody took it away: splitting a page keeps its bytes
    kBeGone,  // its page was given back (MADV_DONTNEED) or cut off (ftruncate): it reads as 0
  };
  Must must = Must::kStay;
  std::string where;
  std::uint64_t written = 0;  // not 0
  std::uint64_t seen = 0;
};

// A finding for the first value that is wrong.
std::optional<FindingRecord> judge_values(const std::vector<SeenValue>& values);

}  // namespace mmquake
