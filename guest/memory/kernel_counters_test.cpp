// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/memory/kernel_counters.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace mmquake {
namespace {

TEST(ParseCounters, ReadsVmstatAndMeminfo) {
  auto counters = parse_counters("nr_isolated_anon 3\nthp_migration_success 1234567890123\n");
  ASSERT_TRUE(counters) << counters.error().message;
  EXPECT_EQ(value_of(*counters, "nr_isolated_anon"), 3U);
  EXPECT_EQ(value_of(*counters, "thp_migration_success"), 1234567890123U);
  EXPECT_EQ(value_of(*counters, "absent"), 0U);
  auto memory = parse_counters("MemTotal:       24 kB\nHugePages_Total:      48\n\n");
  ASSERT_TRUE(memory) << memory.error().message;
  EXPECT_EQ(value_of(*memory, "MemTotal"), 24U);
}

TEST(ParseCounters, QuotesTheLineThatIsWrong) {
  for (const char* bad : {"pgfault", "pgfault -1", "pgfault 99999999999999999999", "a b c"}) {
    auto counters = parse_counters(bad);
    ASSERT_FALSE(counters) << bad;
    EXPECT_NE(counters.error().message.find(bad), std::string::npos);
  }
}

TEST(ParseCounters, ThisKernelsVmstatIsReadable) {
  auto counters = read_vmstat();
  ASSERT_TRUE(counters) << counters.error().message;
  EXPECT_GT(value_of(*counters, "pgfault"), 0U);
}

TEST(HugetlbCounts, ComeFromMeminfo) {
  auto counts = hugetlb_in_meminfo(
      "MemTotal: 24 kB\nHugePages_Total: 48\nHugePages_Free: 40\nHugePages_Rsvd: 2\n"
      "HugePages_Surp: 1\nHugepagesize: 2048 kB\n");
  ASSERT_TRUE(counts) << counts.error().message;
  EXPECT_EQ(*counts, (HugetlbCounts{48, 40, 2, 1}));
  EXPECT_EQ(describe(*counts), "total 48, free 40, reserved 2, surplus 1");
  auto none = hugetlb_in_meminfo("MemTotal: 24 kB\n");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().kind, ErrorKind::kSkipped);
}

TEST(HugetlbCounts, ADefaultOfAnotherSizeIsNoUse) {
  auto counts = hugetlb_in_meminfo("HugePages_Total: 1\nHugepagesize: 1048576 kB\n");
  ASSERT_FALSE(counts);
  EXPECT_EQ(counts.error().kind, ErrorKind::kSkipped);
}

TEST(HugetlbCounts, ANodeHasFilesOfItsOwn) {
  std::string pattern = std::filesystem::temp_directory_path() / "mmquake-node-XXXXXX";
  const std::string root = mkdtemp(pattern.data());
  const std::string pool = root + "/node1/hugepages/hugepages-2048kB";
  std::filesystem::create_directories(pool);
  std::ofstream(pool + "/nr_hugepages") << "20\n";
  std::ofstream(pool + "/free_hugepages") << "12\n";
  std::ofstream(pool + "/surplus_hugepages") << "1\n";
  auto counts = read_hugetlb_of_node(1, root);
  auto none = read_hugetlb_of_node(0, root);
  std::ofstream(pool + "/free_hugepages") << "many\n";
  auto odd = read_hugetlb_of_node(1, root);
  std::filesystem::remove_all(root);
  ASSERT_TRUE(counts) << counts.error().message;
  EXPECT_EQ(*counts, (HugetlbCounts{20, 12, 0, 1}));
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().kind, ErrorKind::kSkipped);
  ASSERT_FALSE(odd);
  EXPECT_NE(odd.error().message.find("many"), std::string::npos);
}

TEST(ParseCounters, FoldingIsHarmless) {
  fold_vmstat();
  EXPECT_TRUE(read_vmstat());
}

}  // namespace
}  // namespace mmquake
