// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/memory/numa.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>

#include "guest/memory/mapping.h"
#include "guest/memory/page_map.h"

namespace mmquake {
namespace {

TEST(Numa, StatusTextIsStable) {
  EXPECT_EQ(status_text(1), "node 1");
  EXPECT_EQ(status_text(-EBUSY), "EBUSY");
  EXPECT_EQ(status_text(kNotReported), "not-reported");
}

TEST(Numa, AsksWhereAPageIs) {
  auto mapping = Mapping::create(Backing::kAnon4k, 2 * kSmallPage);
  ASSERT_TRUE(mapping) << mapping.error().message;
  mapping->data()[0] = std::byte{1};
  auto nodes = nodes_of(0, {mapping->address(), mapping->address() + kSmallPage});
  if (!nodes) GTEST_SKIP() << nodes.error().message;
  ASSERT_EQ(nodes->size(), 2U);
  EXPECT_GE((*nodes)[0], 0);
  EXPECT_LT((*nodes)[1], 0);  // never touched
}

TEST(Numa, MovingToAnImpossibleNodeReportsTheError) {
  auto mapping = Mapping::create(Backing::kAnon4k, kSmallPage);
  ASSERT_TRUE(mapping) << mapping.error().message;
  mapping->data()[0] = std::byte{1};
  const MoveResult result = move_pages_to(0, {mapping->address()}, 1000);
  EXPECT_EQ(result.returned, -1);
  EXPECT_NE(result.error, 0);
  EXPECT_EQ(result.status.at(0), kNotReported);
  EXPECT_EQ(move_pages_to(0, {1, 2}, std::vector<int>{0}).error, EINVAL);
}

TEST(Numa, MovingToWhereAPageIsTellsItsNode) {
  auto mapping = Mapping::create(Backing::kAnon4k, 3 * kSmallPage);
  ASSERT_TRUE(mapping) << mapping.error().message;
  mapping->data()[0] = std::byte{1};
  mapping->data()[2 * kSmallPage] = std::byte{1};
  const std::vector<std::uintptr_t> pages{mapping->address(), mapping->address() + kSmallPage,
                                          mapping->address() + 2 * kSmallPage};
  auto before = nodes_of(getpid(), pages);
  if (!before) GTEST_SKIP() << before.error().message;
  const int node = (*before)[0];
  ASSERT_GE(node, 0);
  const MoveResult moved = move_pages_to(0, pages, std::vector<int>{node, node, (*before)[2]});
  if (moved.error == EPERM) GTEST_SKIP() << "MPOL_MF_MOVE_ALL is for root";
  ASSERT_EQ(moved.error, 0) << status_text(-moved.error);
  EXPECT_EQ(moved.status[0], node);
  EXPECT_EQ(moved.status[1], -ENOENT) << "a page that is not there has no node";
  EXPECT_EQ(moved.status[2], (*before)[2]);
  EXPECT_EQ(bind_and_move(mapping->address(), mapping->size(), node), 0);
  EXPECT_EQ(unbind(mapping->address(), mapping->size()), 0);
  EXPECT_EQ(migrate_process(0, node, node), 0);
}

TEST(Numa, BindingToAnImpossibleNodeIsAnError) {
  if (geteuid() != 0) GTEST_SKIP() << "MPOL_MF_MOVE_ALL is for root, as PID 1 is";
  auto mapping = Mapping::create(Backing::kAnon4k, kSmallPage);
  ASSERT_TRUE(mapping) << mapping.error().message;
  EXPECT_EQ(bind_and_move(mapping->address(), mapping->size(), 1000), EINVAL);
  EXPECT_EQ(bind_and_move(mapping->address() + 1, mapping->size(), 0), EINVAL);
  EXPECT_EQ(migrate_process(0, 0, 1000), -EINVAL);
}

constexpr const char* kZoneinfo =
    "Node 0, zone      DMA\n  per-node stats\n      nr_inactive_anon 5\n  pages free     3840\n"
    "        min      1\n        spanned  4095\n        present  3998\n  pagesets\n"
    "  start_pfn:           1\n"
    "Node 0, zone  Movable\n  pages free     0\n        spanned  0\n"
    "Node 0, zone    DMA32\n        spanned  258048\n  start_pfn:           4096\n"
    "Node 1, zone    DMA32\n        spanned  100\n  start_pfn:           262144\n"
    "Node 1, zone   Normal\n        spanned  1000\n  start_pfn:           262244\n"
    "Node 2, zone   Normal\n        spanned  200\n  start_pfn:           263244\n";

TEST(NodeRanges, ComeFromTheZonesSpans) {
  auto ranges = NodeRanges::from_zoneinfo(kZoneinfo);
  ASSERT_TRUE(ranges) << ranges.error().message;
  EXPECT_EQ(ranges->node_of(0), std::nullopt);
  EXPECT_EQ(ranges->node_of(1), 0);
  EXPECT_EQ(ranges->node_of(262143), 0);
  EXPECT_EQ(ranges->node_of(262144), 1);
  EXPECT_EQ(ranges->node_of(263243), 1);
  EXPECT_EQ(ranges->node_of(263244), 2) << "the end belongs to the next";
  EXPECT_EQ(ranges->node_of(263444), std::nullopt);
}

TEST(NodeRanges, WhatTwoNodesClaimBelongsToNone) {
  auto ranges = NodeRanges::from_zoneinfo(
      "Node 0, zone Normal\n spanned 100\n start_pfn: 0\n"
      "Node 0, zone Movable\n spanned 20\n start_pfn: 0\n"
      "Node 1, zone Normal\n spanned 100\n start_pfn: 50\n");
  ASSERT_TRUE(ranges);
  EXPECT_EQ(ranges->node_of(10), 0);
  EXPECT_EQ(ranges->node_of(60), std::nullopt);
  EXPECT_EQ(ranges->node_of(120), 1);
}

TEST(NodeRanges, NonsenseIsAnErrorThatQuotesIt) {
  for (const char* bad : {"Node x, zone DMA\n", "Node 0, zone DMA\n spanned lots\n"}) {
    auto ranges = NodeRanges::from_zoneinfo(bad);
    ASSERT_FALSE(ranges) << bad;
    EXPECT_NE(ranges.error().message.find('\''), std::string::npos);
  }
  EXPECT_FALSE(NodeRanges::from_zoneinfo(""));
}

TEST(NodeRanges, AgreeWithThisKernelAboutAPage) {
  auto ranges = NodeRanges::read();
  if (!ranges) GTEST_SKIP() << ranges.error().message;
  auto mapping = Mapping::create(Backing::kAnon4k, kSmallPage);
  ASSERT_TRUE(mapping) << mapping.error().message;
  mapping->data()[0] = std::byte{1};
  auto map = PageMap::open_self();
  ASSERT_TRUE(map) << map.error().message;
  auto entry = map->at(mapping->address());
  auto node = nodes_of(0, {mapping->address()});
  if (!entry || entry->pfn() == 0 || !node) GTEST_SKIP() << "no PFN or no NUMA here";
  EXPECT_EQ(ranges->node_of(entry->pfn()), (*node)[0]);
}

}  // namespace
}  // namespace mmquake
