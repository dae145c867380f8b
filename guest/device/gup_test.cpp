// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/device/gup_test.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <linux/types.h>
#include <sys/ioctl.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace mmquake {
namespace {

// The driver's interface is not exported to user space: these are its numbers and layouts.
struct Benchmark {
  __u64 get_usec, put_usec;
  __u64 address, bytes;
  __u32 pages_per_call;
  __u32 gup_flags;
  __u32 test_flags;
  std::array<__u32, 8> pages_to_dump;
};
struct LongtermTest {
  alignas(8) __u64 address;
  alignas(8) __u64 bytes;
  __u32 flags;
};
constexpr unsigned long kFastBenchmark = _IOWR('g', 2, Benchmark);
constexpr unsigned long kLongtermBenchmark = _IOWR('g', 3, Benchmark);
constexpr unsigned long kLongtermStart = _IOW('g', 7, LongtermTest);
constexpr unsigned long kLongtermStop = _IO('g', 8);
constexpr unsigned long kLongtermRead = _IOW('g', 9, __u64);
constexpr __u32 kUseWrite = 1;   // of LongtermTest::flags
constexpr __u32 kFollWrite = 1;  // FOLL_WRITE of 6.1
constexpr const char* kFile = "/sys/kernel/debug/gup_test";

}  // namespace

Result<std::unique_ptr<GupTest>> GupTest::open() {
  UniqueFd fd(::open(kFile, O_RDWR | O_CLOEXEC));
  if (!fd) {
    return skipped(fmt::format("{}: {}: it needs CONFIG_GUP_TEST", kFile, errno_text(errno)));
  }
  return std::unique_ptr<GupTest>(new GupTest(std::move(fd)));
}

Result<std::unique_ptr<GupTest>> GupTest::open_to_hold() {
  Result<std::unique_ptr<GupTest>> driver = open();
  if (!driver) {
    return driver;
  }
  constexpr std::size_t kPage = 4096;
  Result<Mapping> page = Mapping::create(Backing::kAnon4k, kPage);
  if (!page) {
    return tl::make_unexpected(page.error());
  }
  if (const int error = (*driver)->pin(page->address(), kPage); error != 0) {
    return skipped(
        fmt::format("gup_test cannot hold a pin ({}): it can from 6.2 on", errno_text(error)));
  }
  if (Result<> done = (*driver)->unpin(); !done) {
    return tl::make_unexpected(done.error());
  }
  return driver;
}

GupTest::~GupTest() {
  if (bytes_ != 0) {
    ioctl(fd_.get(), kLongtermStop);  // closing the file would do as well
  }
}

int GupTest::pin(std::uintptr_t address, std::size_t bytes) {
  if (bytes_ != 0) {
    return EBUSY;
  }
  LongtermTest test{address, bytes, kUseWrite};
  if (ioctl(fd_.get(), kLongtermStart, &test) != 0) {
    return errno;
  }
  address_ = address;
  bytes_ = bytes;
  return 0;
}

Result<> GupTest::unpin() {
  if (ioctl(fd_.get(), kLongtermStop) != 0) {
    return broken(fmt::format("unpin: gup_test: PIN_LONGTERM_TEST_STOP: {}", errno_text(errno)));
  }
  bytes_ = 0;
  return {};
}

Result<> GupTest::read(std::uintptr_t address, void* to, std::size_t bytes) {
  if (address < address_ || bytes > bytes_ || address - address_ > bytes_ - bytes) {
    return broken(fmt::format("gup_test: {} bytes are outside of the pinned range", bytes));
  }
  copy_.resize(bytes_);
  auto target = static_cast<__u64>(reinterpret_cast<std::uintptr_t>(copy_.data()));
  if (ioctl(fd_.get(), kLongtermRead, &target) != 0) {
    return broken(fmt::format("gup_test: PIN_LONGTERM_TEST_READ: {}", errno_text(errno)));
  }
  std::memcpy(to, copy_.data() + (address - address_), bytes);
  return {};
}

Result<> GupTest::write(std::uintptr_t, const void*, std::size_t) {
  return broken("gup_test cannot write to pinned pages");
}

Result<PinTiming> GupTest::pin_and_check(PinCall call, std::uintptr_t address, std::size_t bytes) {
  Benchmark test{};
  test.address = address;
  test.bytes = bytes;
  test.pages_per_call = static_cast<__u32>(bytes / kSmallPage);
  test.gup_flags = kFollWrite;
  const bool fast = call == PinCall::kFast;
  if (ioctl(fd_.get(), fast ? kFastBenchmark : kLongtermBenchmark, &test) != 0) {
    return broken(fmt::format("gup_test: {}: {}",
                              fast ? "PIN_FAST_BENCHMARK" : "PIN_LONGTERM_BENCHMARK",
                              errno_text(errno)));
  }
  return PinTiming{test.bytes == bytes, test.get_usec, test.put_usec};
}

}  // namespace mmquake
