// SPDX-License-Identifier: GPL-2.0-or-later
#include "workloads/gigantic/pin_ranges.h"

#include <gtest/gtest.h>

#include <cstring>

#include "guest/memory/mapping.h"

namespace mmquake {
namespace {

constexpr std::uint64_t kSection = 32768;
constexpr std::uint64_t kGiganticPages = 262144;
constexpr std::uint64_t kFirst = 4 * kGiganticPages;

TEST(PinRanges, EachBorderHasARangeAcrossAndOneBeside) {
  const std::uint64_t third = kFirst + 3 * kSection;
  const auto ranges = pin_ranges(kFirst, kGiganticPages, kSection, {third});
  ASSERT_EQ(ranges.size(), 14U) << "seven borders inside of eight sections";
  std::size_t breaks = 0;
  for (const PinRange& range : ranges) {
    const std::size_t last = range.first + kRangePages - 1;
    EXPECT_LT(last, kGiganticPages);
    const bool crosses = range.first / kSection != last / kSection;
    EXPECT_EQ(crosses, range.crossing != Crossing::kNone) << range.first;
    EXPECT_NE(range.first % 16, 0U) << "the border would be between two of a pipe's batches";
    if (range.crossing == Crossing::kBreak) {
      ++breaks;
      EXPECT_EQ(range.border, 3 * kSection);
      EXPECT_EQ(range.first, 3 * kSection - kPagesBeforeBorder);
    }
  }
  EXPECT_EQ(breaks, 1U);
}

// vmsplice takes 16 pages at a time, from the range's start on.
TEST(PinRanges, TheBorderIsInsideOfABatchOfAPipe) {
  EXPECT_NE(kPagesBeforeBorder % 16, 0U);
  EXPECT_GT(kRangePages - kPagesBeforeBorder, 16 - kPagesBeforeBorder % 16);
}

TEST(PinRanges, AnUnalignedStartIsNoBorder) {
  EXPECT_TRUE(pin_ranges(kFirst + 5, 100, kSection, {}).empty());
  const auto ranges = pin_ranges(kFirst + 5, kSection, kSection, {});
  ASSERT_EQ(ranges.size(), 0U) << "no room behind the border";
  EXPECT_EQ(pin_ranges(kFirst + 5, 2 * kSection, kSection, {}).size(), 2U);
}

TEST(ComparePages, SaysHowManyPagesAreWrongAndHow) {
  std::vector<std::byte> bytes(3 * kSmallPage);
  fill_pages(bytes, 100, 7);
  EXPECT_FALSE(compare_pages(bytes, 100, 7));
  const auto all = compare_pages(bytes, 101, 7);
  ASSERT_TRUE(all);
  EXPECT_EQ(all->pages, 3U);
  EXPECT_EQ(all->first_page, 101U);
  EXPECT_EQ(all->is, page_word(100, 7));
  EXPECT_EQ(all->must, page_word(101, 7));
  EXPECT_EQ(compare_pages(bytes, 100, 6)->pages, 3U) << "a generation too old";

  const std::uint64_t other = 42;
  std::memcpy(bytes.data() + 2 * kSmallPage - sizeof(other), &other, sizeof(other));
  const auto one = compare_pages(bytes, 100, 7);
  ASSERT_TRUE(one);
  EXPECT_EQ(one->pages, 1U) << "its last word is enough";
  EXPECT_EQ(one->first_page, 101U);
  EXPECT_EQ(one->is, other);
}

}  // namespace
}  // namespace mmquake
