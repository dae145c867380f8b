// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/device/direct_io.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace mmquake {
namespace {

Result<> whole(ssize_t done, std::size_t wanted, const char* what) {
  if (done == static_cast<ssize_t>(wanted)) {
    return {};
  }
  return broken(
      fmt::format("O_DIRECT: {}: {}", what,
                  done < 0 ? errno_text(errno) : fmt::format("{} of {} bytes", done, wanted)));
}

Result<> fits(std::uintptr_t address, std::size_t bytes) {
  if (address % kSmallPage == 0 && bytes % kSmallPage == 0 && bytes <= DirectIo::kMaxBytes) {
    return {};
  }
  return broken(
      fmt::format("O_DIRECT: {} bytes at {:#x} are not whole pages, or too many", bytes, address));
}

}  // namespace

Result<std::unique_ptr<DirectIo>> DirectIo::open(const std::string& device) {
  UniqueFd fd(::open(device.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC));
  if (!fd) {
    return skipped(fmt::format("{}: {}: O_DIRECT needs a disk (CONFIG_BLK_DEV_RAM)", device,
                               errno_text(errno)));
  }
  Result<Mapping> buffer = Mapping::create(Backing::kAnon4k, kMaxBytes);
  if (!buffer) {
    return tl::make_unexpected(buffer.error());
  }
  return std::unique_ptr<DirectIo>(new DirectIo(std::move(fd), std::move(*buffer)));
}

Result<> DirectIo::read(std::uintptr_t address, void* to, std::size_t bytes) {
  if (Result<> fine = fits(address, bytes); !fine) {
    return fine;
  }
  if (Result<> put =
          whole(pwrite(fd_.get(), reinterpret_cast<void*>(address), bytes, 0), bytes, "write");
      !put) {
    return put;
  }
  if (Result<> got = whole(pread(fd_.get(), buffer_.data(), bytes, 0), bytes, "read back"); !got) {
    return got;
  }
  std::memcpy(to, buffer_.data(), bytes);
  return {};
}

Result<> DirectIo::write(std::uintptr_t address, const void* from, std::size_t bytes) {
  if (Result<> fine = fits(address, bytes); !fine) {
    return fine;
  }
  std::memcpy(buffer_.data(), from, bytes);
  if (Result<> put = whole(pwrite(fd_.get(), buffer_.data(), bytes, 0), bytes, "prepare"); !put) {
    return put;
  }
  return whole(pread(fd_.get(), reinterpret_cast<void*>(address), bytes, 0), bytes, "read");
}

}  // namespace mmquake
