// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/core.h>

#include <array>

#include "guest/memory/mapping.h"
#include "guest/memory/text_file.h"

namespace mmquake {
namespace {

constexpr std::array<std::string_view, 5> kHugeFields{
    "AnonHugePages:", "ShmemPmdMapped:", "FilePmdMapped:", "Shared_Hugetlb:", "Private_Hugetlb:"};

struct Area {
  std::uint64_t begin = 0, end = 0;
};

// "7f00-7f10 rw-p ..." opens an area; a field line has a colon in its first word.
std::optional<Area> area_of(std::string_view word) {
  const auto dash = word.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const auto begin = to_number(word.substr(0, dash), 16);
  const auto end = to_number(word.substr(dash + 1), 16);
  if (!begin || !end) return std::nullopt;
  return Area{*begin, *end};
}

bool is_huge_field(std::string_view word) {
  for (auto field : kHugeFields)
    if (field == word) return true;
  return false;
}

}  // namespace

Result<std::uint64_t> huge_bytes_in_smaps(std::string_view smaps, std::uint64_t begin,
                                          std::uint64_t end) {
  std::uint64_t bytes = 0;
  bool inside = false;
  while (auto line = next_line(smaps)) {
    std::string_view rest = *line;
    const std::string_view word = next_word(rest);
    if (auto area = area_of(word)) {
      inside = area->begin >= begin && area->end <= end;
      continue;
    }
    if (!inside || !is_huge_field(word)) continue;
    const auto kib = to_number(next_word(rest));
    if (!kib) return broken(fmt::format("smaps: no number in '{}'", *line));
    bytes += *kib * 1024;
  }
  return bytes;
}

}  // namespace mmquake
