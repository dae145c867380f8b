// SPDX-License-Identifier: GPL-2.0-or-later
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "guest/device/direct_io.h"
#include "guest/device/gup_test.h"
#include "guest/device/io_uring_buffer.h"
#include "guest/device/vmsplice_holder.h"

namespace mmquake {
namespace {

constexpr std::size_t kPages = 8;
constexpr std::size_t kBytes = kPages * kSmallPage;

Mapping filled() {
  auto mapping = Mapping::create(Backing::kAnon4k, kBytes);
  EXPECT_TRUE(mapping) << mapping.error().message;
  for (std::size_t i = 0; i < kBytes; ++i) {
    mapping->data()[i] = static_cast<std::byte>(i / kSmallPage + i);
  }
  return std::move(*mapping);
}

TEST(IoUringBuffer, ReadsAndWritesThroughThePinnedPages) {
  auto buffer = IoUringBuffer::open();
  if (!buffer) GTEST_SKIP() << buffer.error().message;
  Mapping mapping = filled();
  const int error = (*buffer)->pin(mapping.address(), kBytes);
  if (error == ENOMEM) GTEST_SKIP() << "RLIMIT_MEMLOCK is too small";
  ASSERT_EQ(error, 0);
  EXPECT_EQ((*buffer)->pin(mapping.address(), kBytes), EBUSY);
  std::vector<std::byte> seen(kBytes - 100);
  auto read = (*buffer)->read(mapping.address() + 100, seen.data(), seen.size());
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_TRUE(std::equal(seen.begin(), seen.end(), mapping.data() + 100));
  const std::vector<std::byte> news(3 * kSmallPage, std::byte{0xab});
  auto wrote = (*buffer)->write(mapping.address() + 50, news.data(), news.size());
  ASSERT_TRUE(wrote) << wrote.error().message;
  EXPECT_TRUE(std::equal(news.begin(), news.end(), mapping.data() + 50));
  EXPECT_EQ(mapping.data()[49], static_cast<std::byte>(49));
  EXPECT_FALSE((*buffer)->read(mapping.address() + 1, seen.data(), kBytes));
  ASSERT_TRUE((*buffer)->unpin());
  EXPECT_FALSE((*buffer)->unpin());
  EXPECT_FALSE((*buffer)->read(mapping.address(), seen.data(), 1));
}

// What makes it a device: it goes on with the pages that it has, whatever is mapped now.
TEST(IoUringBuffer, KeepsItsPagesWhenTheProcessGetsOthers) {
  auto buffer = IoUringBuffer::open();
  if (!buffer) GTEST_SKIP() << buffer.error().message;
  Mapping mapping = filled();
  const int error = (*buffer)->pin(mapping.address(), kBytes);
  if (error == ENOMEM) GTEST_SKIP() << "RLIMIT_MEMLOCK is too small";
  ASSERT_EQ(error, 0);
  ASSERT_TRUE(mapping.discard(0, kBytes));
  mapping.data()[5] = std::byte{99};
  std::byte seen{};
  ASSERT_TRUE((*buffer)->read(mapping.address() + 5, &seen, 1));
  EXPECT_EQ(seen, std::byte{5});
}

TEST(IoUringBuffer, TellsTheErrnoOfARefusedPin) {
  auto buffer = IoUringBuffer::open();
  if (!buffer) GTEST_SKIP() << buffer.error().message;
  EXPECT_EQ((*buffer)->pin(kSmallPage, kSmallPage), EFAULT);
}

TEST(VmspliceHolder, HoldsAndReadsPagesAndKeepsThem) {
  auto holder = VmspliceHolder::open();
  if (!holder) GTEST_SKIP() << holder.error().message;
  EXPECT_FALSE((*holder)->long_term());
  Mapping mapping = filled();
  ASSERT_EQ((*holder)->pin(mapping.address(), kBytes), 0);
  ASSERT_TRUE(mapping.discard(0, kBytes));
  for (int again = 0; again < 2; ++again) {
    std::byte seen{};
    auto read = (*holder)->read(mapping.address() + 2 * kSmallPage, &seen, 1);
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(seen, std::byte{2});
  }
  EXPECT_FALSE((*holder)->write(mapping.address(), "x", 1));
  ASSERT_TRUE((*holder)->unpin());
  EXPECT_EQ((*holder)->pin(kSmallPage, kSmallPage), EFAULT);
}

TEST(DirectIo, ReadsAndWritesWholePages) {
  const std::string disk = std::string(MMQUAKE_BINARY_DIR) + "/direct-io-test.disk";
  std::ofstream(disk) << "";
  auto device = DirectIo::open(disk);
  if (!device) GTEST_SKIP() << device.error().message;
  Mapping mapping = filled();
  std::vector<std::byte> seen(kBytes - kSmallPage);
  auto read = (*device)->read(mapping.address() + kSmallPage, seen.data(), seen.size());
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_TRUE(std::equal(seen.begin(), seen.end(), mapping.data() + kSmallPage));
  const std::vector<std::byte> news(2 * kSmallPage, std::byte{0xab});
  auto wrote = (*device)->write(mapping.address() + kSmallPage, news.data(), news.size());
  ASSERT_TRUE(wrote) << wrote.error().message;
  EXPECT_TRUE(std::equal(news.begin(), news.end(), mapping.data() + kSmallPage));
  EXPECT_EQ(mapping.data()[kSmallPage - 1], static_cast<std::byte>(kSmallPage - 1));
  EXPECT_EQ(mapping.data()[3 * kSmallPage], std::byte{3});
  EXPECT_FALSE((*device)->read(mapping.address() + 1, seen.data(), kSmallPage));
  EXPECT_FALSE((*device)->read(mapping.address(), seen.data(), 100));
  EXPECT_FALSE((*device)->read(mapping.address(), seen.data(), DirectIo::kMaxBytes + kSmallPage));
  std::filesystem::remove(disk);
}

TEST(DirectIo, IsSkippedWithoutTheDisk) {
  auto device = DirectIo::open("/dev/mmquake-no-such-disk");
  ASSERT_FALSE(device);
  EXPECT_EQ(device.error().kind, ErrorKind::kSkipped);
}

TEST(GupTest, IsSkippedWhereTheKernelLacksIt) {
  auto driver = GupTest::open();
  if (driver) GTEST_SKIP() << "this kernel has gup_test";
  EXPECT_EQ(driver.error().kind, ErrorKind::kSkipped);
}

}  // namespace
}  // namespace mmquake
