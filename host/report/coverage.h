// SPDX-License-Identifier: GPL-2.0-or-later
//
// Which pairs of a composed trial's choices have run, and what came of it. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "host/plan/workloads.h"
#include "host/store/store.h"

namespace mmquake {

// Of ended trials: `ran` are those that did their work, so those that found something too.
struct CoverageCell {
  std::uint64_t ran = 0, found = 0, broken = 0, skipped = 0;
};

// One heat map: a parameter down, another across.
struct CoverageMap {
  std::string row_param, column_param;
  // Every choice that the workload offers or a trial had, in the order of the workload.
  std::vector<std::string> rows, columns;
  std::map<std::pair<std::string, std::string>, CoverageCell> cells;
  std::uint64_t most = 0;  // largest `ran`
};

// The workload whose parameters are drawn from its choices.
inline constexpr const char* kComposer = "compose";

// backing x mover and backing x disturber of the composer's trials; a trial with two disturbers
// counts for both. Empty without such trials. `composer`, if known, gives all choices and the
// values of parameters that a trial left at their default.
std::vector<CoverageMap> coverage(const std::vector<StoredTrial>& trials,
                                  const WorkloadDescription* composer = nullptr);

// What the map says of a pair; all zero for one that no trial had.
CoverageCell cell_at(const CoverageMap& map, const std::string& row, const std::string& column);

// 0 for a pair that never ran, else 1 to 5 on a logarithmic scale: the largest is 5.
int heat_of(const CoverageMap& map, const CoverageCell& cell);

// "12 of 80 pairs have run"
std::string coverage_words(const CoverageMap& map);

// For a terminal of 80 columns; empty without a map.
std::string coverage_text(const std::vector<CoverageMap>& maps);

}  // namespace mmquake
