// SPDX-License-Identifier: GPL-2.0-or-later
//
// What of the device mirrors can be tested without their devices: that a lack is `skipped` and is
// named. That they read and write is seen in a VM (workloads/hugetlb).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "guest/device/dmirror.h"
#include "guest/device/kvm_mirror.h"
#include "guest/device/pinning_device.h"
#include "guest/device/rxe_link.h"

namespace mmquake {
namespace {

using testing::HasSubstr;

TEST(Dmirror, AMissingDeviceIsSkippedByName) {
  const auto device = Dmirror::open("/nonexistent/hmm_dmirror0");
  ASSERT_FALSE(device);
  EXPECT_EQ(device.error().kind, ErrorKind::kSkipped);
  EXPECT_THAT(device.error().message, HasSubstr("CONFIG_TEST_HMM"));
}

TEST(Dmirror, ADeviceThatRefusesIsBroken) {
  // /dev/null opens, and knows none of the device's requests.
  const auto device = Dmirror::open("/dev/null");
  ASSERT_TRUE(device) << device.error().message;
  char byte = 0;
  const Result<> read = (*device)->read(reinterpret_cast<std::uintptr_t>(&byte), &byte, 1);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().kind, ErrorKind::kBroken);
}

TEST(KvmMirror, AMissingDeviceIsSkippedByName) {
  const auto device = KvmMirror::create(0x10000, kSmallPage, "/nonexistent/kvm");
  ASSERT_FALSE(device);
  EXPECT_EQ(device.error().kind, ErrorKind::kSkipped);
  EXPECT_THAT(device.error().message, HasSubstr("CONFIG_KVM_AMD"));
}

TEST(KvmMirror, WhatIsNoKvmIsSkipped) {
  const auto device = KvmMirror::create(0x10000, kSmallPage, "/dev/null");
  ASSERT_FALSE(device);
  EXPECT_EQ(device.error().kind, ErrorKind::kSkipped);
  EXPECT_THAT(device.error().message, HasSubstr("API version"));
}

TEST(KvmMirror, ARangeThatReachesTheApicIsRefused) {
  const auto device = KvmMirror::create(0x10000, (2UL << 30) + kSmallPage, "/dev/null");
  ASSERT_FALSE(device);
  EXPECT_EQ(device.error().kind, ErrorKind::kBroken);
}

TEST(KvmMirror, CopiesIfThisMachineHasKvm) {
  Result<Mapping> memory = Mapping::create(Backing::kAnon4k, 4 * kSmallPage);
  ASSERT_TRUE(memory) << memory.error().message;
  const auto device = KvmMirror::create(memory->address(), memory->size());
  if (!device) {
    ASSERT_EQ(device.error().kind, ErrorKind::kSkipped) << device.error().message;
    GTEST_SKIP() << device.error().message;
  }
  auto* word = reinterpret_cast<std::uint32_t*>(memory->data() + kSmallPage);
  *word = 7;
  std::uint32_t seen = 0;
  const auto at = reinterpret_cast<std::uintptr_t>(word);
  ASSERT_TRUE((*device)->read(at, &seen, sizeof(seen)));
  EXPECT_EQ(seen, 7U);
  seen = 8;
  ASSERT_TRUE((*device)->write(at, &seen, sizeof(seen)));
  EXPECT_EQ(*word, 8U);
  EXPECT_FALSE((*device)->read(at, &seen, 3));
  EXPECT_FALSE((*device)->read(memory->address() + memory->size(), &seen, sizeof(seen)));
}

TEST(RxeLink, AMissingNetworkDeviceIsSkippedByName) {
  const Result<> added = add_rxe_link({"rxe-none", "no-such-netdev"});
  ASSERT_FALSE(added);
  EXPECT_EQ(added.error().kind, ErrorKind::kSkipped);
  EXPECT_THAT(added.error().message, HasSubstr("no-such-netdev"));
}

TEST(PinningDevice, AnUnknownOneIsAnError) {
  const auto device = open_pinning_device("carrier-pigeon");
  ASSERT_FALSE(device);
  EXPECT_EQ(device.error().kind, ErrorKind::kBroken);
}

}  // namespace
}  // namespace mmquake
