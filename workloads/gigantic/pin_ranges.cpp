// SPDX-License-Identifier: GPL-2.0-or-later
#include "workloads/gigantic/pin_ranges.h"

#include <algorithm>
#include <cstring>

#include "guest/memory/mapping.h"

namespace mmquake {
namespace {

// Between a range across a border and the one before it that crosses none.
constexpr std::size_t kGap = 27;
constexpr unsigned kPageBits = 20;

}  // namespace

std::string_view to_string(Crossing crossing) {
  switch (crossing) {
    case Crossing::kNone:
      return "none";
    case Crossing::kBorder:
      return "border";
    case Crossing::kBreak:
      return "break";
  }
  return "?";
}

std::vector<PinRange> pin_ranges(std::uint64_t first_pfn, std::uint64_t pages,
                                 std::uint64_t pages_a_section,
                                 const std::vector<std::uint64_t>& breaks) {
  std::vector<PinRange> out;
  const std::uint64_t section = first_pfn / pages_a_section;
  for (std::uint64_t pfn = (section + 1) * pages_a_section; pfn < first_pfn + pages;
       pfn += pages_a_section) {
    const auto border = static_cast<std::size_t>(pfn - first_pfn);
    const bool is_break = std::find(breaks.begin(), breaks.end(), pfn) != breaks.end();
    if (border < kPagesBeforeBorder + kGap + kRangePages || border + kPagesBehindBorder > pages) {
      continue;
    }
    const std::size_t across = border - kPagesBeforeBorder;
    out.push_back({across, is_break ? Crossing::kBreak : Crossing::kBorder, border});
    out.push_back({across - kGap - kRangePages, Crossing::kNone, border});
  }
  return out;
}

std::uint64_t page_word(std::size_t page, std::uint64_t generation) {
  return generation << kPageBits | page;
}

void fill_pages(std::span<std::byte> pages, std::size_t first, std::uint64_t generation) {
  for (std::size_t at = 0; at < pages.size(); at += sizeof(std::uint64_t)) {
    const std::uint64_t word = page_word(first + at / kSmallPage, generation);
    std::memcpy(pages.data() + at, &word, sizeof(word));
  }
}

std::optional<Difference> compare_pages(std::span<const std::byte> pages, std::size_t first,
                                        std::uint64_t generation) {
  Difference difference;
  std::optional<std::size_t> last;  // wrong page that is counted
  for (std::size_t at = 0; at < pages.size(); at += sizeof(std::uint64_t)) {
    const std::size_t page = first + at / kSmallPage;
    const std::uint64_t must = page_word(page, generation);
    std::uint64_t is = 0;
    std::memcpy(&is, pages.data() + at, sizeof(is));
    if (is == must || last == page) {
      continue;
    }
    if (difference.pages == 0) {
      difference.first_page = page;
      difference.is = is;
      difference.must = must;
    }
    ++difference.pages;
    last = page;
  }
  return difference.pages == 0 ? std::nullopt : std::optional(difference);
}

}  // namespace mmquake
