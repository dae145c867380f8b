// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/memory/page_map.h"

#include <gtest/gtest.h>

namespace mmquake {
namespace {

std::vector<PageEntry> entries(std::uint64_t first) {
  return {PageEntry{first}, PageEntry{first + 1}};
}

// Says one thing after the other, and the last one for ever.
struct Said {
  std::vector<std::uint64_t> firsts;
  std::size_t reads = 0;
  std::uint64_t agreed() {
    const auto got = agreed_entries([this]() -> Result<std::vector<PageEntry>> {
      return entries(firsts[std::min(reads++, firsts.size() - 1)]);
    });
    return got ? got->front().raw : 0;
  }
};

TEST(AgreedEntries, AreThoseThatTwoReadsSay) {
  Said steady{{7}};
  EXPECT_EQ(steady.agreed(), 7U);
  EXPECT_EQ(steady.reads, 2U);
  Said once_wrong{{9, 7}};
  EXPECT_EQ(once_wrong.agreed(), 7U);
  EXPECT_EQ(once_wrong.reads, 3U);
}

TEST(AgreedEntries, OfPagesThatNeverRestAreTheLast) {
  Said restless{{1, 3, 5, 7, 9, 11, 13}};
  EXPECT_EQ(restless.agreed(), 9U);
}

TEST(AgreedEntries, AnErrorStaysOne) {
  int reads = 0;
  const auto got = agreed_entries([&]() -> Result<std::vector<PageEntry>> {
    if (++reads == 2) return broken("gone");
    return entries(1);
  });
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().message, "gone");
}

TEST(PageMapOfThisProcess, HasAPageThatWasWritten) {
  const auto map = PageMap::open_self();
  ASSERT_TRUE(map) << map.error().message;
  volatile int here = 1;
  const auto entry = map->at(reinterpret_cast<std::uintptr_t>(&here));
  ASSERT_TRUE(entry) << entry.error().message;
  EXPECT_TRUE(entry->present());
}

}  // namespace
}  // namespace mmquake
