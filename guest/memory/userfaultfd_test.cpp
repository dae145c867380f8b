// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/memory/userfaultfd.h"

#include <gtest/gtest.h>
#include <linux/userfaultfd.h>
#include <poll.h>

#include <atomic>
#include <cerrno>
#include <thread>

namespace mmquake {
namespace {

constexpr int kTooLongMs = 30000;

std::atomic<std::uint64_t>& word(const Mapping& mapping) {
  return *reinterpret_cast<std::atomic<std::uint64_t>*>(mapping.data());
}

bool wait_for_event(const Userfaultfd& uffd) {
  pollfd ready{};
  ready.fd = uffd.fd();
  ready.events = POLLIN;
  return poll(&ready, 1, kTooLongMs) == 1;
}

TEST(Userfaultfd, AMissingFaultWaitsUntilItIsWoken) {
  auto uffd = Userfaultfd::open(UFFD_FEATURE_MISSING_SHMEM);
  if (!uffd) {
    ASSERT_EQ(uffd.error().kind, ErrorKind::kSkipped) << uffd.error().message;
    GTEST_SKIP() << uffd.error().message;
  }
  auto mapping = Mapping::create(Backing::kShmem4k, kSmallPage);
  ASSERT_TRUE(mapping) << mapping.error().message;
  auto alias = mapping->alias();
  ASSERT_TRUE(alias) << alias.error().message;
  const auto registered =
      uffd->register_range(mapping->address(), kSmallPage, Userfaultfd::Mode::kMissing);
  ASSERT_TRUE(registered) << registered.error().message;
  auto events = uffd->read_events();
  ASSERT_TRUE(events) << events.error().message;
  EXPECT_TRUE(events->empty());

  std::uint64_t seen = 0;
  std::thread faulter([&] { seen = word(*mapping).load(); });
  EXPECT_TRUE(wait_for_event(*uffd));
  events = uffd->read_events();
  word(*alias).store(7);
  const auto woken = uffd->wake(mapping->address(), kSmallPage);
  faulter.join();
  EXPECT_TRUE(woken);
  EXPECT_EQ(seen, 7U);
  ASSERT_TRUE(events) << events.error().message;
  ASSERT_EQ(events->size(), 1U);
  EXPECT_EQ(events->at(0).address, mapping->address());
  EXPECT_FALSE(events->at(0).write);
}

TEST(Userfaultfd, AWriteToAProtectedPageWaitsUntilItIsUnprotected) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP()
      << "TSan's runtime would fault on the store while it holds a lock that the load wants";
#endif
  auto uffd = Userfaultfd::open(UFFD_FEATURE_PAGEFAULT_FLAG_WP);
  if (!uffd) {
    ASSERT_EQ(uffd.error().kind, ErrorKind::kSkipped) << uffd.error().message;
    GTEST_SKIP() << uffd.error().message;
  }
  auto mapping = Mapping::create(Backing::kAnon4k, kSmallPage);
  ASSERT_TRUE(mapping) << mapping.error().message;
  word(*mapping).store(1);
  ASSERT_TRUE(
      uffd->register_range(mapping->address(), kSmallPage, Userfaultfd::Mode::kWriteProtect));
  ASSERT_TRUE(uffd->write_protect(mapping->address(), kSmallPage));

  std::thread faulter([&] { word(*mapping).store(2); });
  EXPECT_TRUE(wait_for_event(*uffd));
  const auto events = uffd->read_events();
  EXPECT_EQ(word(*mapping).load(), 1U);
  const auto free = uffd->write_unprotect(mapping->address(), kSmallPage, true);
  faulter.join();
  EXPECT_TRUE(free);
  EXPECT_EQ(word(*mapping).load(), 2U);
  ASSERT_TRUE(events) << events.error().message;
  ASSERT_EQ(events->size(), 1U);
  EXPECT_TRUE(events->at(0).write);
  EXPECT_TRUE(events->at(0).write_protected);
}

// The alias is not registered: what it writes is in the file, and mapped there alone.
TEST(Userfaultfd, APageOfTheFileIsMappedWhenItIsToldTo) {
  auto uffd = Userfaultfd::open(UFFD_FEATURE_MINOR_SHMEM);
  if (!uffd) {
    ASSERT_EQ(uffd.error().kind, ErrorKind::kSkipped) << uffd.error().message;
    GTEST_SKIP() << uffd.error().message;
  }
  auto mapping = Mapping::create(Backing::kShmem4k, kSmallPage);
  ASSERT_TRUE(mapping) << mapping.error().message;
  auto alias = mapping->alias();
  ASSERT_TRUE(alias) << alias.error().message;
  const auto registered =
      uffd->register_range(mapping->address(), kSmallPage, Userfaultfd::Mode::kMinor);
  ASSERT_TRUE(registered) << registered.error().message;
  EXPECT_EQ(uffd->map_cached(mapping->address(), kSmallPage).error, EFAULT);
  word(*alias).store(7);

  std::uint64_t seen = 0;
  std::thread faulter([&] { seen = word(*mapping).load(); });
  EXPECT_TRUE(wait_for_event(*uffd));
  const auto events = uffd->read_events();
  const Userfaultfd::Moved mapped = uffd->map_cached(mapping->address(), kSmallPage);
  faulter.join();
  EXPECT_EQ(mapped.error, 0);
  EXPECT_EQ(mapped.bytes, kSmallPage);
  EXPECT_EQ(seen, 7U);
  ASSERT_TRUE(events) << events.error().message;
  ASSERT_EQ(events->size(), 1U);
  EXPECT_TRUE(events->at(0).minor);
  EXPECT_EQ(uffd->map_cached(mapping->address(), kSmallPage).error, EEXIST);
}

TEST(Userfaultfd, AnUnregisteredRangeIsAnErrorThatNamesIt) {
  auto uffd = Userfaultfd::open(0);
  if (!uffd) {
    GTEST_SKIP() << uffd.error().message;
  }
  const auto protected_nothing = uffd->write_protect(0x10000, kSmallPage);
  ASSERT_FALSE(protected_nothing);
  EXPECT_NE(protected_nothing.error().message.find("0x10000"), std::string::npos);
}

}  // namespace
}  // namespace mmquake
