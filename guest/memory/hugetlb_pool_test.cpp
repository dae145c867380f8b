// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/memory/hugetlb_pool.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <utility>

namespace mmquake {
namespace {

// A directory that looks like /sys/devices/system/node.
class FakeNodes {
 public:
  FakeNodes() {
    std::string pattern = (std::filesystem::temp_directory_path() / "mmquake-nodes-XXXXXX");
    root_ = mkdtemp(pattern.data());
    for (int node : {0, 1}) {
      std::filesystem::create_directories(std::filesystem::path(file(node)).parent_path());
      std::ofstream(file(node)) << "3\n";
    }
  }
  ~FakeNodes() { std::filesystem::remove_all(root_); }
  FakeNodes(const FakeNodes&) = delete;
  FakeNodes& operator=(const FakeNodes&) = delete;

  std::string root() const { return root_; }
  std::string file(int node) const {
    return root_ + "/node" + std::to_string(node) + "/hugepages/hugepages-2048kB/nr_hugepages";
  }
  std::string pages(int node) const {
    std::string text;
    std::ifstream(file(node)) >> text;
    return text;
  }

 private:
  std::string root_;
};

TEST(HugetlbPool, AddsAndGivesBack) {
  const FakeNodes nodes;
  {
    auto pool = HugetlbPool::reserve({0, 1}, 5, nodes.root());
    ASSERT_TRUE(pool) << pool.error().message;
    EXPECT_EQ(nodes.pages(0), "8");
    EXPECT_EQ(nodes.pages(1), "8");
    const HugetlbPool moved = std::move(*pool);
    EXPECT_EQ(moved.per_node(), 5U);
    EXPECT_EQ(nodes.pages(1), "8");
  }
  EXPECT_EQ(nodes.pages(0).substr(0, 1), "3");
  EXPECT_EQ(nodes.pages(1).substr(0, 1), "3");
}

TEST(HugetlbPool, AMissingNodeGivesEverythingBack) {
  const FakeNodes nodes;
  auto pool = HugetlbPool::reserve({0, 7}, 5, nodes.root());
  ASSERT_FALSE(pool);
  EXPECT_EQ(pool.error().kind, ErrorKind::kSkipped);
  EXPECT_EQ(nodes.pages(0).substr(0, 1), "3");
}

TEST(HugetlbPool, NothingAskedIsNothingTouched) {
  auto pool = HugetlbPool::reserve({0, 1}, 0, "/no/such/place");
  EXPECT_TRUE(pool);
}

TEST(HugetlbPool, ANewPoolGivesTheOldOneBack) {
  const FakeNodes nodes;
  auto pool = HugetlbPool::reserve({0}, 5, nodes.root());
  ASSERT_TRUE(pool);
  auto other = HugetlbPool::reserve({1}, 2, nodes.root());
  ASSERT_TRUE(other);
  *pool = std::move(*other);
  EXPECT_EQ(nodes.pages(0), "3");
  EXPECT_EQ(nodes.pages(1), "5");
  EXPECT_EQ(pool->per_node(), 2U);
}

// A node that is full: writing is allowed, and changes nothing.
TEST(HugetlbPool, ANodeThatGivesTooFewIsSkippedByName) {
  const FakeNodes nodes;
  std::filesystem::remove(nodes.file(1));
  std::filesystem::create_symlink("/dev/null", nodes.file(1));
  auto pool = HugetlbPool::reserve({0, 1}, 5, nodes.root());
  ASSERT_FALSE(pool);
  EXPECT_NE(pool.error().message.find("node1"), std::string::npos) << pool.error().message;
  EXPECT_EQ(nodes.pages(0), "3");
}

}  // namespace
}  // namespace mmquake
