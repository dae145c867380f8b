// SPDX-License-Identifier: GPL-2.0-or-later
//
// What of a gigantic page is pinned, what its pages hold, and what is wrong about what was seen.
// Pure: no memory but the caller's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace mmquake {

enum class Crossing {
  kNone,    // within one section
  kBorder,  // from one section to the next, whose struct pages follow
  kBreak    // from one section to the next, whose struct pages are elsewhere
};
inline constexpr std::size_t kCrossings = 3;
std::string_view to_string(Crossing crossing);  // "none", "border", "break"

// Pages [first, first + kRangePages) of a gigantic page.
struct PinRange {
  std::size_t first = 0;
  Crossing crossing = Crossing::kNone;
  std::size_t border = 0;  // the page at which the next section begins; behind the range for kNone
};

// The kernel takes a pipe's pages in batches of 16: the border must be inside of one.
inline constexpr std::size_t kPagesBeforeBorder = 27;
inline constexpr std::size_t kPagesBehindBorder = 10;
inline constexpr std::size_t kRangePages = kPagesBeforeBorder + kPagesBehindBorder;

// For each section border within `pages` pages from `first_pfn` on: a range across it, and one of
// the same length before it. `breaks`: the PFNs of borders that are breaks.
std::vector<PinRange> pin_ranges(std::uint64_t first_pfn, std::uint64_t pages,
                                 std::uint64_t pages_a_section,
                                 const std::vector<std::uint64_t>& breaks);

// Every word of page `page` of a gigantic page after it was written for the n-th time.
std::uint64_t page_word(std::size_t page, std::uint64_t generation);
// Fills whole pages, of which the first is page `first` of its gigantic page.
void fill_pages(std::span<std::byte> pages, std::size_t first, std::uint64_t generation);

// How bytes differ from what fill_pages() writes.
struct Difference {
  std::size_t pages = 0;  // that are wrong anywhere
  std::size_t first_page = 0;
  std::uint64_t is = 0, must = 0;  // the first wrong word of that page
};
// nullopt: they do not.
std::optional<Difference> compare_pages(std::span<const std::byte> pages, std::size_t first,
                                        std::uint64_t generation);

}  // namespace mmquake
