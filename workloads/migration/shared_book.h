// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the processes of migrate-verify share beside the memory under test: which generation each
// cell has, what became of a round, and the first thing that went wrong.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "guest/protocol/result.h"

namespace mmquake {

// One MAP_SHARED mapping, made before the first fork and handed out in pieces that are never taken
// back. (migrate_pages moves its pages as well: what a kernel breaks there shows as damage, too.)
class SharedMemory {
 public:
  static Result<SharedMemory> create(std::size_t bytes);
  SharedMemory() = default;
  SharedMemory(SharedMemory&& other) noexcept;
  SharedMemory& operator=(SharedMemory&& other) noexcept;
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  ~SharedMemory();

  // `count` default-constructed objects; an error if they do not fit.
  template <typename T>
  Result<std::span<T>> take(std::size_t count) {
    static_assert(std::is_trivially_destructible_v<T>);
    Result<std::byte*> at = reserve(count * sizeof(T));
    if (!at) {
      return tl::make_unexpected(at.error());
    }
    auto* first = reinterpret_cast<T*>(*at);
    for (std::size_t i = 0; i < count; ++i) {
      new (first + i) T;
    }
    return std::span<T>(first, count);
  }

 private:
  Result<std::byte*> reserve(std::size_t bytes);
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  std::size_t used_ = 0;
};

// A text that one of many processes leaves and one reader takes. The first writer wins.
class SharedText {
 public:
  void put(std::string_view text);
  // The text, once; then the next writer may win.
  std::optional<std::string> take();
  bool is_set() const { return state_.load(std::memory_order_acquire) == kReady; }

 private:
  static constexpr std::uint32_t kFree = 0, kWriting = 1, kReady = 2;
  std::atomic<std::uint32_t> state_{kFree};
  std::uint32_t length_ = 0;
  std::array<char, 4096> text_{};
};

inline constexpr int kProcesses = 3;  // the runner's own, and two children
inline constexpr std::size_t kMaxMovers = 8;
inline constexpr int kNoRegion = -1;

struct Book {
  std::array<std::atomic<int>, kProcesses> pids{};  // 0: not known yet
  // The last round that each mover has finished; those of no mover stay at the maximum.
  std::array<std::atomic<std::uint64_t>, kMaxMovers> finished{};
  // The unit that is to be given back and filled anew in the coming round. Written in check()
  // only, so all roles see one value for a whole round.
  std::atomic<int> rebuild_region{kNoRegion};
  std::atomic<std::uint64_t> rebuild_unit{0};
  SharedText damage;  // title, a newline, evidence
  SharedText error;   // the harness failed in some process
};

}  // namespace mmquake
