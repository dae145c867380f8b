// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/report/coverage.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "host/report/report.h"

namespace mmquake {
namespace {

constexpr const char* kNone = "none";

const WorkloadParam* param_of(const WorkloadDescription* composer, const std::string& name) {
  if (composer == nullptr) return nullptr;
  const auto at = std::find_if(composer->params.begin(), composer->params.end(),
                               [&](const WorkloadParam& param) { return param.name == name; });
  return at == composer->params.end() ? nullptr : &*at;
}

// Empty if the trial does not say and nobody knows the default.
std::string value_of(const StoredTrial& trial, const std::string& name,
                     const WorkloadDescription* composer) {
  const auto given = trial.params.find(name);
  if (given != trial.params.end()) return given->second;
  const WorkloadParam* param = param_of(composer, name);
  return param == nullptr ? "" : param->default_value;
}

// The trial's values of the first parameter and of those like it (disturber, disturber2). "none" is
// a value of its own when all are.
std::set<std::string> values_of(const StoredTrial& trial, const std::string& name,
                                const WorkloadDescription* composer) {
  std::set<std::string> out;
  for (const std::string& one : {name, name + "2"}) {
    const std::string value = value_of(trial, one, composer);
    if (!value.empty()) out.insert(value);
  }
  if (out.size() > 1) out.erase(kNone);
  return out;
}

void count(CoverageCell& cell, Outcome verdict) {
  cell.ran += verdict == Outcome::kPassed || verdict == Outcome::kFound ? 1 : 0;
  cell.found += verdict == Outcome::kFound ? 1 : 0;
  cell.broken += verdict == Outcome::kBroken ? 1 : 0;
  cell.skipped += verdict == Outcome::kSkipped ? 1 : 0;
}

// The workload's choices in its order, then what else has occurred.
std::vector<std::string> axis(const std::set<std::string>& seen, const WorkloadParam* param) {
  std::vector<std::string> out;
  if (param != nullptr) out = param->choices;
  for (const std::string& value : seen) {
    if (std::find(out.begin(), out.end(), value) == out.end()) out.push_back(value);
  }
  return out;
}

CoverageMap map_of(const std::vector<StoredTrial>& trials, const std::string& row_param,
                   const std::string& column_param, const WorkloadDescription* composer) {
  CoverageMap out;
  out.row_param = row_param;
  out.column_param = column_param;
  std::set<std::string> rows;
  std::set<std::string> columns;
  for (const StoredTrial& trial : trials) {
    if (trial.workload != kComposer || trial.state != TrialState::kEnded) continue;
    const std::string row = value_of(trial, row_param, composer);
    if (row.empty()) continue;
    for (const std::string& column : values_of(trial, column_param, composer)) {
      CoverageCell& cell = out.cells[{row, column}];
      count(cell, trial.verdict);
      out.most = std::max(out.most, cell.ran);
      rows.insert(row);
      columns.insert(column);
    }
  }
  if (out.cells.empty()) return out;
  out.rows = axis(rows, param_of(composer, row_param));
  out.columns = axis(columns, param_of(composer, column_param));
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

std::vector<CoverageMap> coverage(const std::vector<StoredTrial>& trials,
                                  const WorkloadDescription* composer) {
  std::vector<CoverageMap> out;
  for (const char* column : {"mover", "disturber"}) {
    CoverageMap map = map_of(trials, "backing", column, composer);
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
  return fmt::format("{} of {} pairs have run", ran, map.rows.size() * map.columns.size());
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
        out += fmt::format(" {:>4}", cell_text(cell_at(map, row, column)));
      }
      out += "\n";
    }
    out += legend(map);
  }
  if (out.empty()) return out;
  return out + "  trials that ran; ! found something, . never ran, - skipped, x broken\n";
}

}  // namespace mmquake
