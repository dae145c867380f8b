// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/device/dmirror.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <linux/ioctl.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstring>

namespace mmquake {
namespace {

// The ABI of lib/test_hmm_uapi.h of 6.1, which is no installed header.
struct DmirrorCommand {
  std::uint64_t address;  // in: of the memory that is mirrored
  std::uint64_t buffer;   // in: of the caller's copy
  std::uint64_t pages;    // in
  std::uint64_t copied;   // out: pages
  std::uint64_t faults;   // out: of the device
};
constexpr unsigned long kRead = _IOWR('H', 0x00, DmirrorCommand);
constexpr unsigned long kWrite = _IOWR('H', 0x01, DmirrorCommand);

// The small pages that hold [address, address + bytes).
struct Span {
  std::uintptr_t begin = 0;
  std::size_t bytes = 0;
  std::size_t offset = 0;  // of `address` in it
};

Span pages_around(std::uintptr_t address, std::size_t bytes) {
  const std::uintptr_t begin = address / kSmallPage * kSmallPage;
  const std::uintptr_t end = (address + bytes + kSmallPage - 1) / kSmallPage * kSmallPage;
  return {begin, end - begin, address - begin};
}

}  // namespace

Result<std::unique_ptr<Dmirror>> Dmirror::open(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (fd) {
    return std::unique_ptr<Dmirror>(new Dmirror(std::move(fd)));
  }
  if (errno == ENOENT || errno == ENXIO || errno == ENODEV) {
    return skipped(fmt::format("open {}: {}: this kernel has no HMM test device (CONFIG_TEST_HMM)",
                               path, errno_text(errno)));
  }
  return broken(fmt::format("open {}: {}", path, errno_text(errno)));
}

Result<> Dmirror::transfer(unsigned long request, std::uintptr_t page, std::string& buffer) {
  DmirrorCommand command{};
  command.address = page;
  command.buffer = reinterpret_cast<std::uintptr_t>(buffer.data());
  command.pages = buffer.size() / kSmallPage;
  const char* what = request == kRead ? "read" : "write";
  if (ioctl(fd_.get(), request, &command) != 0) {
    return broken(fmt::format("dmirror: {} {} pages: {}", what, command.pages, errno_text(errno)));
  }
  if (command.copied != command.pages) {
    return broken(fmt::format("dmirror: {} {} of {} pages", what, command.copied, command.pages));
  }
  return {};
}

Result<> Dmirror::read(std::uintptr_t address, void* to, std::size_t bytes) {
  const Span span = pages_around(address, bytes);
  std::string buffer(span.bytes, '\0');
  if (Result<> done = transfer(kRead, span.begin, buffer); !done) {
    return done;
  }
  std::memcpy(to, buffer.data() + span.offset, bytes);
  return {};
}

Result<> Dmirror::write(std::uintptr_t address, const void* from, std::size_t bytes) {
  const Span span = pages_around(address, bytes);
  std::string buffer(span.bytes, '\0');
  if (bytes != span.bytes) {
    if (Result<> done = transfer(kRead, span.begin, buffer); !done) {
      return done;
    }
  }
  std::memcpy(buffer.data() + span.offset, from, bytes);
  return transfer(kWrite, span.begin, buffer);
}

}  // namespace mmquake
