// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/memory/memory_level.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace mmquake {
namespace {

using testing::HasSubstr;
using testing::Optional;
using testing::StartsWith;

constexpr std::string_view kMeminfo =
    "MemTotal:        2000 kB\nMemFree:         1000 kB\nBuffers:           10 kB\n"
    "Cached:           200 kB\nShmem:             50 kB\nSlab:              70 kB\n"
    "PageTables:         5 kB\nPercpu:            15 kB\nHardwareCorrupted: 100 kB\n";

TEST(MemoryLevel, WhatTheKernelMayKeepIsNotInUse) {
  EXPECT_EQ(*used_kb(kMeminfo, ""), 650);
  EXPECT_EQ(*used_kb(kMeminfo,
                     "Node 0, zone   DMA\n  pagesets\n    cpu: 0\n              count: 10\n"
                     "              high:  20\n    cpu: 1\n              count: 5\n"),
            590);
  EXPECT_FALSE(used_kb("MemTotal: many\n", ""));
}

TEST(MemoryLevel, ALossIsNamed) {
  MemoryLevel before;
  before.used_kb = 1000;
  before.pools["2048kB"] = {};
  MemoryLevel after = before;
  after.used_kb = 1500;
  EXPECT_FALSE(not_given_back(before, after, 500));
  EXPECT_THAT(not_given_back(before, after, 499),
              Optional(StartsWith("memory did not come back\n500 kB")));
  after.pools["2048kB"] = {1, 0, 0, 1};
  EXPECT_THAT(
      not_given_back(before, after, 500),
      Optional(HasSubstr("2048kB: total 0, free 0, reserved 0, surplus 0 before, total 1")));
  after.pools = {{"1048576kB", {1, 1, 0, 0}}};  // a size that was not there before
  EXPECT_FALSE(not_given_back(before, after, 500));
}

TEST(MemoryLevel, PoolsOfAllSizesAndNodes) {
  const std::filesystem::path root =
      std::filesystem::temp_directory_path() / ("mmquake-pools-" + std::to_string(getpid()));
  const auto put = [&](const std::string& folder, const std::string& name, int value) {
    std::filesystem::create_directories(root / folder);
    std::ofstream(root / folder / name) << value << "\n";
  };
  const std::string all = "kernel/mm/hugepages/hugepages-2048kB";
  const std::string of_node = "devices/system/node/node1/hugepages/hugepages-1048576kB";
  for (const std::string& folder : {all, of_node}) {
    for (const char* name : {"nr_hugepages", "free_hugepages", "surplus_hugepages"}) {
      put(folder, name, 0);
    }
  }
  put(all, "nr_hugepages", 9);
  put(all, "resv_hugepages", 2);
  put(of_node, "surplus_hugepages", 3);
  const auto pools = read_hugetlb_pools(root.string());
  std::ofstream(root / of_node / "free_hugepages") << "many\n";
  const auto unreadable = read_hugetlb_pools(root.string());
  std::filesystem::remove(root / of_node / "free_hugepages");
  const auto missing = read_hugetlb_pools(root.string());
  std::filesystem::remove_all(root);
  ASSERT_TRUE(pools) << pools.error().message;
  ASSERT_EQ(pools->size(), 2U);
  EXPECT_EQ(pools->at("2048kB"), (HugetlbCounts{9, 0, 2, 0}));
  EXPECT_EQ(pools->at("1048576kB of node1"), (HugetlbCounts{0, 0, 0, 3}));
  ASSERT_FALSE(unreadable);
  EXPECT_THAT(unreadable.error().message, HasSubstr("is no number"));
  EXPECT_FALSE(missing);
}

TEST(ResidentPages, AreReadFromBothTexts) {
  const auto pages = resident_pages("Name:\tx y\nVmRSS:\t   1200 kB\nThreads:\t3\n",
                                    "0-1 ---p 0 00:00 0 [rollup]\nRss:     1000 kB\n");
  ASSERT_TRUE(pages) << pages.error().message;
  EXPECT_EQ(pages->counted_kb, 1200);
  EXPECT_EQ(pages->mapped_kb, 1000);
  EXPECT_EQ(pages->threads, 3);
  EXPECT_FALSE(resident_pages("Threads:\t3\n", "Rss: 1 kB\n"));
  EXPECT_FALSE(resident_pages("VmRSS: 1 kB\nThreads:\t3\n", ""));
}

TEST(ResidentPages, HowFarTheyMayBeApartDependsOnTheKernel) {
  EXPECT_EQ(resident_error_kb({0, 0, 2}, 4, "6.1"), 2 * 65 * 16 * 4);
  EXPECT_EQ(resident_error_kb({0, 0, 2}, 4, "6.12"), 4 * 3 * 32 * 4);
}

TEST(ResidentPages, OfThisProcessAgree) {
  const auto pages = read_resident_pages(getpid());
  if (!pages) {
    GTEST_SKIP() << pages.error().message;
  }
  EXPECT_LE(std::abs(pages->counted_kb - pages->mapped_kb),
            resident_error_kb(*pages, sysconf(_SC_NPROCESSORS_ONLN), "6.1"));
}

}  // namespace
}  // namespace mmquake
