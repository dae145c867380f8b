// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/memory/ram_swap.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/swap.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "guest/memory/mapping.h"
#include "guest/memory/text_file.h"

namespace mmquake {
namespace {

// union swap_header (include/linux/swap.h): version and last page behind 1 KiB of boot block, the
// magic at the page's end.
constexpr std::size_t kInfoOffset = 1024;
constexpr std::string_view kMagic = "SWAPSPACE2";

constexpr const char* kZram = "/sys/block/zram0";
constexpr std::string_view kZramBytes = "33554432";

}  // namespace

Result<> RamSwap::start(const std::string& device) {
  UniqueFd fd(open(device.c_str(), O_RDWR | O_CLOEXEC));
  if (!fd) {
    return skipped(
        fmt::format("{}: {}: swap on it needs CONFIG_BLK_DEV_RAM", device, errno_text(errno)));
  }
  const off_t bytes = lseek(fd.get(), 0, SEEK_END);
  const auto pages = static_cast<std::uint32_t>(bytes / static_cast<off_t>(kSmallPage));
  if (bytes < static_cast<off_t>(16 * kSmallPage)) {
    return skipped(fmt::format("{} has {} bytes: too few for swap", device, bytes));
  }
  std::array<char, kSmallPage> header{};
  const std::array<std::uint32_t, 2> info{1, pages - 1};
  std::memcpy(header.data() + kInfoOffset, info.data(), sizeof(info));
  std::memcpy(header.data() + kSmallPage - kMagic.size(), kMagic.data(), kMagic.size());
  if (pwrite(fd.get(), header.data(), header.size(), 0) != static_cast<ssize_t>(header.size()) ||
      fsync(fd.get()) != 0) {
    return broken(fmt::format("write a swap header to {}: {}", device, errno_text(errno)));
  }
  if (swapon(device.c_str(), 0) != 0) {
    const int error = errno;
    const std::string what = fmt::format("swapon {}: {}", device, errno_text(error));
    return error == ENOSYS ? skipped(what + ": it needs CONFIG_SWAP") : broken(what);
  }
  device_ = device;
  return {};
}

// A disk's size can be set once after each reset, which the last user's end may have left out.
Result<> RamSwap::start_on_zram() {
  const std::string folder = kZram;
  if (access((folder + "/disksize").c_str(), W_OK) != 0) {
    return skipped(folder + ": swap on zram needs CONFIG_ZRAM");
  }
  if (Result<> reset = write_text(folder + "/reset", "1"); !reset) {
    return reset;
  }
  if (Result<> sized = write_text(folder + "/disksize", kZramBytes); !sized) {
    return skipped(sized.error().message + ": zram has no compressor (CONFIG_CRYPTO_LZO)");
  }
  if (Result<> started = start("/dev/zram0"); !started) {
    return started;
  }
  zram_ = folder;
  return {};
}

// A guest that ends has no use for the errors.
RamSwap::~RamSwap() {
  if (!device_.empty()) {
    swapoff(device_.c_str());
  }
  if (!zram_.empty()) {
    (void)write_text(zram_ + "/reset", "1");
  }
}

}  // namespace mmquake
