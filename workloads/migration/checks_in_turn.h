// SPDX-License-Identifier: GPL-2.0-or-later
//
// How workloads whose oracle has several parts look at them between two rounds.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <optional>
#include <string_view>

#include "guest/protocol/records.h"
#include "guest/protocol/result.h"

namespace mmquake {

// "title, newline, details", as the processes of a workload leave it in a SharedText.
inline FindingRecord finding_of(std::string_view kind, std::string_view text) {
  const std::size_t title = std::min(text.find('\n'), text.size());
  FindingRecord record;
  record.kind = kind;
  record.title = text.substr(0, title);
  record.evidence["details"] = text.substr(std::min(title + 1, text.size()));
  return record;
}

// The first finding of the checks, in their order; nothing after an error, which `fail` is told of.
template <typename Oracle, typename Fail>
std::optional<FindingRecord> first_finding(
    Oracle& oracle,
    std::initializer_list<Result<std::optional<FindingRecord>> (Oracle::*)()> checks, Fail fail) {
  for (const auto check : checks) {
    Result<std::optional<FindingRecord>> verdict = (oracle.*check)();
    if (!verdict) {
      fail(verdict.error());
      return std::nullopt;
    }
    if (*verdict) {
      return *verdict;
    }
  }
  return std::nullopt;
}

}  // namespace mmquake
