// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/memory/memory_block.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "guest/memory/mapping.h"
#include "guest/memory/text_file.h"

namespace mmquake {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;

// A folder as sysfs has it: blocks of 128 MiB, of which 32 and 34 exist.
class Blocks : public testing::Test {
 protected:
  void SetUp() override {
    root_ = testing::TempDir() + "memory-block-test-" + std::to_string(getpid());
    for (const char* block : {"/memory32", "/memory34"}) {
      std::filesystem::create_directories(root_ + block);
      put(root_ + block + "/state", "online\n");
    }
    put(root_ + "/block_size_bytes", "8000000\n");
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  static void put(const std::string& path, std::string_view text) {
    const UniqueFd made(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    ASSERT_EQ(write(made.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }

  std::string root_;
};

TEST_F(Blocks, AreNumberedByTheirAddress) {
  const auto blocks = MemoryBlocks::read(root_);
  ASSERT_TRUE(blocks) << blocks.error().message;
  EXPECT_EQ(blocks->block_of(0x100000), 32U);
  EXPECT_EQ(blocks->block_of(0x107fff), 32U);
  EXPECT_EQ(blocks->block_of(0x108000), 33U);
  EXPECT_EQ(blocks->pfns(32), (PfnRange{0x100000, 0x108000}));
}

TEST_F(Blocks, OfARangeAreThoseThatExistAndLieInItAsAWhole) {
  const auto blocks = MemoryBlocks::read(root_);
  ASSERT_TRUE(blocks);
  EXPECT_THAT(blocks->blocks_in({0x100000, 0x118000}), ElementsAre(32, 34));
  EXPECT_THAT(blocks->blocks_in({0x100001, 0x118000}), ElementsAre(34));
  EXPECT_THAT(blocks->blocks_in({0x100000, 0x117fff}), ElementsAre(32));
  EXPECT_THAT(blocks->blocks_in({0x100001, 0x100001}), ElementsAre());
}

TEST_F(Blocks, TheInnerOnesOfAZoneLeaveItsBeginWhereItIs) {
  const auto blocks = MemoryBlocks::read(root_);
  ASSERT_TRUE(blocks) << blocks.error().message;
  EXPECT_THAT(blocks->inner_blocks_of({0x100000, 0x118000}), ElementsAre(34));
  EXPECT_THAT(blocks->inner_blocks_of({0xf8000, 0x118000}), ElementsAre(32, 34));
  EXPECT_THAT(blocks->inner_blocks_of({0x100000, 0x108000}), ElementsAre());
}

TEST_F(Blocks, GoOnlineAndSayTheirState) {
  const auto blocks = MemoryBlocks::read(root_);
  ASSERT_TRUE(blocks);
  EXPECT_EQ(blocks->state(34).value_or("?"), "online");
  ASSERT_TRUE(blocks->online_movable(34));
  EXPECT_EQ(blocks->state(34).value_or("?"), "online_movable");
  EXPECT_FALSE(blocks->online_movable(33));
}

TEST_F(Blocks, AKernelWithoutHotplugIsSkipped) {
  const auto blocks = MemoryBlocks::read(root_ + "/none");
  ASSERT_FALSE(blocks);
  EXPECT_EQ(blocks.error().kind, ErrorKind::kSkipped);
  put(root_ + "/block_size_bytes", "large\n");
  const auto odd = MemoryBlocks::read(root_);
  ASSERT_FALSE(odd);
  EXPECT_EQ(odd.error().kind, ErrorKind::kBroken);
  EXPECT_THAT(odd.error().message, HasSubstr("large"));
}

TEST_F(Blocks, ARemovalThatEndsSaysSo) {
  const auto blocks = MemoryBlocks::read(root_);
  ASSERT_TRUE(blocks);
  const auto removal = HotRemoval::start(blocks->state_file(32));
  ASSERT_TRUE(removal);
  EXPECT_EQ((*removal)->wait(seconds(60)), 0);
  EXPECT_THAT(blocks->state(32).value_or("?"), HasSubstr("offline"));
  EXPECT_EQ((*removal)->interrupt(seconds(1)), 0) << "its answer stays";
}

TEST_F(Blocks, ARemovalThatIsRefusedSaysWhy) {
  const auto removal = HotRemoval::start(root_ + "/memory33/state");
  ASSERT_TRUE(removal);
  EXPECT_EQ((*removal)->wait(seconds(60)), ENOENT);
}

// To open a fifo that nobody reads lasts until a signal comes, as offline_pages() does.
TEST_F(Blocks, ARemovalThatNeverEndsIsInterrupted) {
  const std::string fifo = root_ + "/fifo";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  const auto removal = HotRemoval::start(fifo);
  ASSERT_TRUE(removal);
  EXPECT_EQ((*removal)->wait(milliseconds(50)), std::nullopt);
  EXPECT_EQ((*removal)->interrupt(seconds(60)), EINTR);
}

TEST_F(Blocks, ARemovalThatNeverEndsDoesNotOutliveItsOwner) {
  const std::string fifo = root_ + "/fifo";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  { ASSERT_TRUE(HotRemoval::start(fifo)); }
  const UniqueFd reader(open(fifo.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  char byte = 0;
  EXPECT_EQ(read(reader.get(), &byte, 1), 0) << "somebody writes to it still";
}

}  // namespace
}  // namespace mmquake
