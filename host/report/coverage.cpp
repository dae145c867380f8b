// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/report/coverage.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>

#include "guest/protocol/composition.h"
#include "host/report/report.h"

namespace mmquake {
namespace {

// The trial's words in the slot. kNoWord is a word of its own where no disturber stands.
std::set<std::string> words_of(const Composition& composition, Slot slot) {
  std::set<std::string> out{composition[slot]};
  if (slot == Slot::kDisturber && composition.has(Slot::kDisturber2)) {
    out.insert(composition[Slot::kDisturber2]);
    out.erase(std::string(kNoWord));
  }
  return out;
}

void count(CoverageCell& cell, Outcome verdict) {
  cell.ran += verdict == Outcome::kPassed || verdict == Outcome::kFound ? 1 : 0;
  cell.found += verdict == Outcome::kFound ? 1 : 0;
  cell.broken += verdict == Outcome::kBroken ? 1 : 0;
  cell.skipped += verdict == Outcome::kSkipped ? 1 : 0;
}

bool is_known(Slot slot, const std::string& word) {
  return word == kNoWord ? slot != Slot::kBacking : find_ingredient(slot, word) != nullptr;
}

// The composer's words in its order, then what else has occurred (in an older store, say).
std::vector<std::string> axis(const std::set<std::string>& seen, Slot slot) {
  std::vector<std::string> out;
  if (slot != Slot::kBacking) out.emplace_back(kNoWord);
  for (const Ingredient& one : ingredients(slot)) out.emplace_back(one.name);
  std::copy_if(seen.begin(), seen.end(), std::back_inserter(out),
               [slot](const std::string& word) { return !is_known(slot, word); });
  return out;
}

void mark_impossible(CoverageMap& map, Slot row, Slot column) {
  for (const std::string& one : map.rows) {
    for (const std::string& other : map.columns) {
      if (is_known(row, one) && is_known(column, other) && !map.cells.contains({one, other}) &&
          !go_together(row, one, column, other)) {
        map.impossible.insert({one, other});
      }
    }
  }
}

CoverageMap map_of(const std::vector<StoredTrial>& trials, Slot row, Slot column) {
  CoverageMap out;
  out.row_param = to_string(row);
  out.column_param = to_string(column);
  std::set<std::string> rows;
  std::set<std::string> columns;
  for (const StoredTrial& trial : trials) {
    if (trial.workload != kComposeWorkload || trial.state != TrialState::kEnded) continue;
    const Composition composition = Composition::from_params(trial.params);
    if (!composition.has(Slot::kBacking)) continue;
    for (const std::string& one : words_of(composition, row)) {
      for (const std::string& other : words_of(composition, column)) {
        CoverageCell& cell = out.cells[{one, other}];
        count(cell, trial.verdict);
        out.most = std::max(out.most, cell.ran);
        rows.insert(one);
        columns.insert(other);
      }
    }
  }
  if (out.cells.empty()) return out;
  out.rows = axis(rows, row);
  out.columns = axis(columns, column);
  mark_impossible(out, row, column);
  return out;
}

// a to z, then A to Z, then what nobody has.
std::string letter(std::size_t column) {
  if (column < 26) return {static_cast<char>('a' + column)};
  return column < 52 ? std::string(1, static_cast<char>('A' + column - 26)) : "?";
}

std::string cell_text(const CoverageCell& cell) {
  if (cell.ran > 0) return fmt::format("{}{}", cell.ran, cell.found > 0 ? "!" : " ");
  return cell.broken > 0 ? "x " : cell.skipped > 0 ? "- " : ". ";
}

std::string legend(const CoverageMap& map) {
  constexpr std::size_t kWidth = 78;
  std::string out;
  std::string row = " ";
  for (std::size_t i = 0; i < map.columns.size(); ++i) {
    const std::string entry = fmt::format(" {} {}", letter(i), one_line(map.columns[i], 24));
    if (row.size() + entry.size() + 1 > kWidth) {
      out += row + "\n";
      row = " ";
    }
    row += entry + (i + 1 < map.columns.size() ? "," : "");
  }
  return out + row + "\n";
}

}  // namespace

std::vector<CoverageMap> coverage(const std::vector<StoredTrial>& trials) {
  constexpr std::array<std::pair<Slot, Slot>, 3> kMaps{{{Slot::kBacking, Slot::kMover},
                                                        {Slot::kBacking, Slot::kDisturber},
                                                        {Slot::kMover, Slot::kDisturber}}};
  std::vector<CoverageMap> out;
  for (const auto& [row, column] : kMaps) {
    CoverageMap map = map_of(trials, row, column);
    if (!map.cells.empty()) out.push_back(std::move(map));
  }
  return out;
}

CoverageCell cell_at(const CoverageMap& map, const std::string& row, const std::string& column) {
  const auto at = map.cells.find({row, column});
  return at == map.cells.end() ? CoverageCell() : at->second;
}

int heat_of(const CoverageMap& map, const CoverageCell& cell) {
  if (cell.ran == 0) return 0;
  if (map.most <= 1) return 5;
  const double share =
      std::log(static_cast<double>(cell.ran)) / std::log(static_cast<double>(map.most));
  return 1 + static_cast<int>(std::lround(4 * share));
}

std::string coverage_words(const CoverageMap& map) {
  const auto ran = std::count_if(map.cells.begin(), map.cells.end(),
                                 [](const auto& one) { return one.second.ran > 0; });
  return fmt::format("{} of {} pairs have run", ran,
                     map.rows.size() * map.columns.size() - map.impossible.size());
}

std::string coverage_text(const std::vector<CoverageMap>& maps) {
  std::string out;
  for (const CoverageMap& map : maps) {
    out += fmt::format("\n{} x {}: {}\n  {:<18}", map.row_param, map.column_param,
                       coverage_words(map), "");
    for (std::size_t i = 0; i < map.columns.size(); ++i) out += fmt::format(" {:>3} ", letter(i));
    out += "\n";
    for (const std::string& row : map.rows) {
      out += fmt::format("  {:<18}", one_line(row, 18));
      for (const std::string& column : map.columns) {
        out += fmt::format(" {:>4}", map.impossible.contains({row, column})
                                         ? ""
                                         : cell_text(cell_at(map, row, column)));
      }
      out += "\n";
    }
    out += legend(map);
  }
  if (out.empty()) return out;
  return out +
         "  trials that ran; ! found something, . never ran, - skipped, x broken,\n"
         "  nothing: the two do not go together\n";
}

nlohmann::json coverage_json(const std::vector<CoverageMap>& maps) {
  nlohmann::json out = nlohmann::json::array();
  for (const CoverageMap& map : maps) {
    nlohmann::json pairs = nlohmann::json::array();
    for (const std::string& row : map.rows) {
      for (const std::string& column : map.columns) {
        if (map.impossible.contains({row, column})) continue;
        const CoverageCell cell = cell_at(map, row, column);
        pairs.push_back({{map.row_param, row},
                         {map.column_param, column},
                         {"ran", cell.ran},
                         {"found", cell.found},
                         {"broken", cell.broken},
                         {"skipped", cell.skipped}});
      }
    }
    out.push_back({{"row", map.row_param}, {"column", map.column_param}, {"pairs", pairs}});
  }
  return out;
}

}  // namespace mmquake
