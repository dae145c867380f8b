// SPDX-License-Identifier: GPL-2.0-or-later
//
// Addresses of our own: mappings come and go at fixed places, and what is not mapped stays
// PROT_NONE, so that nobody else's mmap() lands in a hole and is overwritten.
#pragma once

#include <sys/mman.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "guest/memory/mapping.h"

namespace mmquake {

class Reservation {
 public:
  Reservation() = default;
  Reservation(const Reservation&) = delete;
  Reservation& operator=(const Reservation&) = delete;
  ~Reservation() {
    if (raw_ != nullptr) {
      munmap(raw_, bytes_ + kHugePage);
    }
  }

  // `bytes` of addresses from a multiple of 2 MiB on.
  Result<> reserve(std::size_t bytes) {
    void* raw = mmap(nullptr, bytes + kHugePage, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (raw == MAP_FAILED) {
      return broken("reserve addresses: " + errno_text(errno));
    }
    raw_ = raw;
    bytes_ = bytes;
    const std::uintptr_t past = reinterpret_cast<std::uintptr_t>(raw) % kHugePage;
    base_ = static_cast<std::byte*>(raw) + (past == 0 ? 0 : kHugePage - past);
    return {};
  }

  std::uintptr_t at(std::size_t offset) const {
    return reinterpret_cast<std::uintptr_t>(pointer(offset));
  }

  // Anonymous memory that wants huge pages.
  Result<> map_anon(std::size_t offset, std::size_t bytes) const {
    if (Result<> mapped = map(offset, bytes, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        !mapped) {
      return mapped;
    }
    return advise(offset, bytes, MADV_HUGEPAGE, "MADV_HUGEPAGE");
  }

  Result<> map_file(std::size_t offset, std::size_t bytes, int fd, off_t from) const {
    return map(offset, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, from);
  }

  // Unmaps: mmap() over a mapping does what munmap() does to it, and leaves no hole.
  Result<> release(std::size_t offset, std::size_t bytes) const {
    return map(offset, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED,
               -1, 0);
  }

  Result<> advise(std::size_t offset, std::size_t bytes, int advice, const char* name) const {
    if (madvise(pointer(offset), bytes, advice) != 0) {
      return broken(std::string("madvise(") + name + "): " + errno_text(errno));
    }
    return {};
  }

  // The first word of the page at `offset`.
  std::atomic_ref<std::uint64_t> word(std::size_t offset) const {
    return std::atomic_ref(*reinterpret_cast<std::uint64_t*>(base_ + offset));
  }

  void* pointer(std::size_t offset) const { return base_ + offset; }

 private:
  Result<> map(std::size_t offset, std::size_t bytes, int protection, int flags, int fd,
               off_t from) const {
    if (mmap(pointer(offset), bytes, protection, flags, fd, from) == MAP_FAILED) {
      return broken("map at a fixed address: " + errno_text(errno));
    }
    return {};
  }

  void* raw_ = nullptr;
  std::size_t bytes_ = 0;
  std::byte* base_ = nullptr;
};

}  // namespace mmquake
