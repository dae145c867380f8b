// SPDX-License-Identifier: GPL-2.0-or-later
#include "workloads/split/split_judge.h"

#include <fmt/core.h>

namespace mmquake {

std::optional<FindingRecord> judge_values(const std::vector<SeenValue>& values) {
  for (const SeenValue& value : values) {
    const bool stays = value.must == SeenValue::Must::kStay;
    const std::uint64_t expected = stays ? value.written : 0;
    if (value.seen == expected) {
      continue;
    }
    FindingRecord finding;
    finding.kind = "corruption";
    finding.title =
        stays ? "a page lost its value around a THP split" : "a page came back that was given back";
    finding.evidence["value"] = fmt::format("{}: written {}, expected {}, seen {}", value.where,
                                            value.written, expected, value.seen);
    return finding;
  }
  return std::nullopt;
}

}  // namespace mmquake
