// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/console/line_sites.h"

#include <dwarf.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <string_view>
#include <utility>

#include "host/console/debug_info.h"

namespace mmquake {
namespace {

struct Row {
  std::uint64_t address = 0;
  int line = 0;
};

// Of one unit: where statements of `file` begin. libdw gives one pointer for all rows of a file, so
// a name is made once.
std::vector<Row> rows_of(DebugInfo& info, Dwarf_Die* unit, const std::string& file) {
  std::vector<Row> out;
  Dwarf_Lines* lines = nullptr;
  std::size_t count = 0;
  if (dwarf_getsrclines(unit, &lines, &count) != 0) return out;
  std::map<const char*, bool> is_file;
  const std::string_view base = std::string_view(file).substr(file.rfind('/') + 1);
  for (std::size_t i = 0; i < count; ++i) {
    Dwarf_Line* row = dwarf_onesrcline(lines, i);
    const char* name = dwarf_linesrc(row, nullptr, nullptr);
    if (name == nullptr) continue;
    auto known = is_file.find(name);
    if (known == is_file.end()) {
      const bool same =
          std::string_view(name).ends_with(base) && info.source_name(unit, name) == file;
      known = is_file.emplace(name, same).first;
    }
    bool begins = false;
    bool ends = false;
    Row out_row;
    Dwarf_Addr address = 0;
    if (!known->second || dwarf_linebeginstatement(row, &begins) != 0 || !begins ||
        dwarf_lineendsequence(row, &ends) != 0 || ends || dwarf_lineno(row, &out_row.line) != 0 ||
        dwarf_lineaddr(row, &address) != 0) {
      continue;
    }
    out_row.address = address;
    out.push_back(out_row);
  }
  return out;
}

// What tells one copy of a line from another: the inlined function that it is part of, if any, and
// the place of the function around it.
using Copy = std::pair<Dwarf_Off, std::string>;

Copy copy_at(DebugInfo& info, Dwarf_Die* unit, std::uint64_t address) {
  std::vector<Dwarf_Die> inlines = inlines_at(unit, address);
  const Dwarf_Off innermost = inlines.empty() ? 0 : dwarf_dieoffset(&inlines.back());
  const std::string place = info.symbols().place_of(address);
  // Of a namesake the place is no name; its copies are then told apart by their addresses, which is
  // too many and never too few.
  return {innermost, place.starts_with("_text+") ? place : place.substr(0, place.find('+'))};
}

std::string nearest(const std::set<int>& lines, int line) {
  std::string out;
  const auto after = lines.lower_bound(line);
  if (after != lines.begin()) out += fmt::format("line {}", *std::prev(after));
  if (after != lines.end()) out += fmt::format("{}line {}", out.empty() ? "" : " and ", *after);
  return out;
}

}  // namespace

Result<std::vector<std::string>> sites_of_line(const std::filesystem::path& vmlinux,
                                               const std::string& file, int line) {
  auto info = DebugInfo::open(vmlinux);
  if (!info) return tl::make_unexpected(info.error());
  std::map<Copy, std::uint64_t> copies;
  std::set<int> with_code;
  Dwarf_CU* cu = nullptr;
  Dwarf_Die unit;
  while (dwarf_get_units((*info)->dwarf(), cu, &cu, nullptr, nullptr, &unit, nullptr) == 0) {
    for (const Row& row : rows_of(**info, &unit, file)) {
      with_code.insert(row.line);
      if (row.line != line) continue;
      const auto [copy, is_new] = copies.emplace(copy_at(**info, &unit, row.address), row.address);
      if (!is_new) copy->second = std::min(copy->second, row.address);
    }
  }
  if (with_code.empty()) {
    return usage(
        fmt::format("no code of '{}' is in '{}': give the path from the top of the "
                    "kernel's sources, as in mm/rmap.c",
                    file, vmlinux.string()));
  }
  if (copies.empty()) {
    return usage(fmt::format("{}:{} has no code in '{}'; near it {} has", file, line,
                             vmlinux.string(), nearest(with_code, line)));
  }
  std::set<std::uint64_t> addresses;
  for (const auto& [copy, address] : copies) addresses.insert(address);
  std::vector<std::string> out;
  for (const std::uint64_t address : addresses) {
    std::string place = (*info)->symbols().place_of(address);
    if (!place.empty()) out.push_back(std::move(place));
  }
  return out;
}

}  // namespace mmquake
