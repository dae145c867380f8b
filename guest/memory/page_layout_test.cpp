// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/memory/page_layout.h"

#include <gtest/gtest.h>

#include <cstring>

#include "guest/memory/zone_map.h"

namespace mmquake {
namespace {

class Layouts : public testing::TestWithParam<LayoutKind> {};

// Whether the pages are huge or not, they are where the layout says.
TEST_P(Layouts, HoldTheRightPageAtEachPlace) {
  auto layout = PageLayout::build(GetParam(), nullptr);
  if (!layout && layout.error().kind == ErrorKind::kSkipped) GTEST_SKIP() << layout.error().message;
  ASSERT_TRUE(layout) << layout.error().message;
  for (std::size_t page = 0; page < kPagesOfHugePage; ++page) {
    std::uint64_t seen = 0;
    std::memcpy(&seen, layout->data() + page * kSmallPage, sizeof(seen));
    ASSERT_EQ(seen, layout->expected(page)) << "page " << page;
  }
}

INSTANTIATE_TEST_SUITE_P(All, Layouts, testing::ValuesIn(kAllLayouts),
                         [](const testing::TestParamInfo<LayoutKind>& test) {
                           std::string name(to_string(test.param));
                           for (char& c : name) c = c == '-' ? '_' : c;
                           return name;
                         });

TEST(Layouts, HaveNames) {
  for (const LayoutKind kind : kAllLayouts) EXPECT_EQ(layout_from(to_string(kind)), kind);
  EXPECT_EQ(layout_from("scattered"), std::nullopt);
}

TEST(ZoneMap, KnowsZonesByPfn) {
  auto map = ZoneMap::from_zoneinfo(
      "Node 0, zone   Normal\n  pages free 1\n spanned 100\n start_pfn: 0\n"
      "Node 0, zone  Movable\n spanned 100\n start_pfn: 100\n"
      "Node 1, zone   Normal\n spanned 0\n start_pfn: 0\n"
      "Node 1, zone  Movable\n spanned 50\n start_pfn: 190\n");
  ASSERT_TRUE(map) << map.error().message;
  ASSERT_EQ(map->zones().size(), 3U);
  ASSERT_NE(map->zone_of(99), nullptr);
  EXPECT_EQ(map->zone_of(99)->name, "Normal");
  ASSERT_NE(map->zone_of(100), nullptr);
  EXPECT_EQ(map->zone_of(100)->name, "Movable");
  EXPECT_EQ(map->zone_of(195), nullptr) << "two zones claim it";
  ASSERT_NE(map->zone_of(239), nullptr);
  EXPECT_EQ(map->zone_of(239)->node, 1);
  EXPECT_EQ(map->zone_of(240), nullptr);
}

TEST(CmaAreas, AreNoneWhereTheKernelShowsNone) {
  auto areas = read_cma_areas("/nonexistent/cma");
  ASSERT_TRUE(areas) << areas.error().message;
  EXPECT_TRUE(areas->empty());
}

}  // namespace
}  // namespace mmquake
