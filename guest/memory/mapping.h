// SPDX-License-Identifier: GPL-2.0-or-later
//
// Memory of a chosen backing, as the workloads use it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "guest/protocol/result.h"

namespace mmquake {

inline constexpr std::size_t kSmallPage = 4096;
inline constexpr std::size_t kHugePage = 2UL * 1024 * 1024;

enum class Backing { kAnon4k, kAnonThp, kShmem4k, kShmemThp, kHugetlb2m };

inline constexpr std::array<Backing, 5> kAllBackings{Backing::kAnon4k, Backing::kAnonThp,
                                                     Backing::kShmem4k, Backing::kShmemThp,
                                                     Backing::kHugetlb2m};

// "anon-4k", "anon-thp", "shmem-4k", "shmem-thp", "hugetlb-2m".
std::string_view to_string(Backing backing);
std::optional<Backing> backing_from(std::string_view name);

// What the kernel moves as one piece: 4 KiB or 2 MiB.
std::size_t unit_bytes(Backing backing);
// Shared between processes after a fork.
bool is_shared(Backing backing);

// A file descriptor with an owner.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept;
  UniqueFd& operator=(UniqueFd&& other) noexcept;
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;
  ~UniqueFd();

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

// "No space left on device (errno 28)".
std::string errno_text(int error);

// Owns a range of addresses, aligned to 2 MiB whatever its backing, and the memfd behind it if
// there is one. Nothing is faulted in. The 4K backings carry MADV_NOHUGEPAGE, the THP ones
// MADV_HUGEPAGE; whether a page really became huge is asked with huge_bytes().
class Mapping {
 public:
  // `bytes` is rounded up to unit_bytes(). An error of kind kSkipped says what the kernel lacks.
  static Result<Mapping> create(Backing backing, std::size_t bytes);

  Mapping() = default;
  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&& other) noexcept;
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping();

  // A second mapping of the same file (shmem and hugetlb only). It owns a duplicate of the fd.
  Result<Mapping> alias() const;

  std::byte* data() const { return data_; }
  std::size_t size() const { return size_; }
  std::uintptr_t address() const { return reinterpret_cast<std::uintptr_t>(data_); }
  Backing backing() const { return backing_; }
  int fd() const { return fd_.get(); }  // -1 for anonymous memory

  // Gives the pages of a range back to the kernel: MADV_DONTNEED for anonymous memory, a hole in
  // the file for the others (in all its mappings).
  Result<> discard(std::size_t offset, std::size_t bytes);

  // Bytes that this mapping maps by PMDs (or as hugetlb) now, from /proc/self/smaps.
  Result<std::uint64_t> huge_bytes() const;

 private:
  Result<> map(std::size_t bytes);

  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  Backing backing_ = Backing::kAnon4k;
  UniqueFd fd_;
};

// The sum of AnonHugePages, ShmemPmdMapped, FilePmdMapped, Shared_Hugetlb and Private_Hugetlb over
// the areas of an smaps text that lie within [begin, end). Exposed for tests.
Result<std::uint64_t> huge_bytes_in_smaps(std::string_view smaps, std::uint64_t begin,
                                          std::uint64_t end);

// What a sysfs choice file such as "always [madvise] never" has chosen.
Result<std::string> chosen(std::string_view text);

// Lets memfds have huge pages: "advise" (areas with MADV_HUGEPAGE) or "always". Changes the whole
// machine, and is meant for a guest.
Result<> set_shmem_thp(std::string_view mode);

}  // namespace mmquake
