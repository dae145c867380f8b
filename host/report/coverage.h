// SPDX-License-Identifier: GPL-2.0-or-later
//
// Which pairs of a composed trial's choices have run, and what came of it. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "host/store/store.h"

namespace mmquake {

// Of ended trials: `ran` are those that did their work, so those that found something too.
struct CoverageCell {
  std::uint64_t ran = 0, found = 0, broken = 0, skipped = 0;
};

// One heat map: a slot of the composition down, another across.
struct CoverageMap {
  std::string row_param, column_param;
  // Every word that the composer knows, in its order, then what else a trial had.
  std::vector<std::string> rows, columns;
  std::map<std::pair<std::string, std::string>, CoverageCell> cells;
  std::set<std::pair<std::string, std::string>> impossible;  // no composition has both
  std::uint64_t most = 0;                                    // largest `ran`
};

// The pairs of backing, mover and disturber of the composer's trials; a trial with two disturbers
// counts for both. Empty without such trials.
std::vector<CoverageMap> coverage(const std::vector<StoredTrial>& trials);

// What the map says of a pair; all zero for one that no trial had.
CoverageCell cell_at(const CoverageMap& map, const std::string& row, const std::string& column);

// 0 for a pair that never ran, else 1 to 5 on a logarithmic scale: the largest is 5.
int heat_of(const CoverageMap& map, const CoverageCell& cell);

// "12 of 80 pairs have run"; what is impossible does not count
std::string coverage_words(const CoverageMap& map);

// For a terminal of 80 columns; empty without a map.
std::string coverage_text(const std::vector<CoverageMap>& maps);

// For a script: of each map its parameters and, of each possible pair, how many trials of which
// end.
nlohmann::json coverage_json(const std::vector<CoverageMap>& maps);

}  // namespace mmquake
