// SPDX-License-Identifier: GPL-2.0-or-later
#include "workloads/migration/shared_book.h"

#include <fmt/core.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "guest/memory/mapping.h"

namespace mmquake {
namespace {

constexpr std::size_t kCacheLine = 64;  // neighbours shall not share one

}  // namespace

Result<SharedMemory> SharedMemory::create(std::size_t bytes) {
  void* at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) {
    return broken(fmt::format("map {} bytes that all processes share: {}", bytes,  //
                              errno_text(errno)));
  }
  madvise(at, bytes, MADV_NOHUGEPAGE);  // or it takes huge pages from the memory under test
  SharedMemory memory;
  memory.data_ = static_cast<std::byte*>(at);
  memory.size_ = bytes;
  return memory;
}

SharedMemory::SharedMemory(SharedMemory&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      used_(std::exchange(other.used_, 0)) {}

SharedMemory& SharedMemory::operator=(SharedMemory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(used_, other.used_);
  return *this;
}

SharedMemory::~SharedMemory() {
  if (data_ != nullptr) {
    munmap(data_, size_);
  }
}

Result<std::byte*> SharedMemory::reserve(std::size_t bytes) {
  const std::size_t begin = (used_ + kCacheLine - 1) / kCacheLine * kCacheLine;
  if (begin > size_ || bytes > size_ - begin) {
    return broken(fmt::format(
        "the shared book has {} bytes, {} more are needed: ask for fewer pages", size_, bytes));
  }
  used_ = begin + bytes;
  return data_ + begin;
}

void SharedText::put(std::string_view text) {
  std::uint32_t expected = kFree;
  if (!state_.compare_exchange_strong(expected, kWriting, std::memory_order_acq_rel)) {
    return;
  }
  length_ = static_cast<std::uint32_t>(std::min(text.size(), text_.size()));
  std::copy_n(text.begin(), length_, text_.begin());
  state_.store(kReady, std::memory_order_release);
}

std::optional<std::string> SharedText::take() {
  if (!is_set()) {
    return std::nullopt;
  }
  std::string text(text_.data(), std::min<std::size_t>(length_, text_.size()));
  state_.store(kFree, std::memory_order_release);
  return text;
}

}  // namespace mmquake
