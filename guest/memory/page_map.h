// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the kernel says about single pages: /proc/PID/pagemap and /proc/kpageflags.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "guest/memory/mapping.h"
#include "guest/protocol/result.h"

namespace mmquake {

// One 64-bit entry of pagemap. A PFN of 0 means "not told" (no CAP_SYS_ADMIN).
struct PageEntry {
  std::uint64_t raw = 0;

  bool present() const { return raw >> 63 & 1; }
  bool swapped() const { return raw >> 62 & 1; }  // swapped out, or a migration entry
  bool file_or_shared() const { return raw >> 61 & 1; }
  bool uffd_wp() const { return raw >> 57 & 1; }
  bool exclusive() const { return raw >> 56 & 1; }
  bool soft_dirty() const { return raw >> 55 & 1; }
  std::uint64_t pfn() const { return present() ? raw & ((1ULL << 55) - 1) : 0; }
};

// "0x8100000000012345 present pfn=0x12345 soft-dirty".
std::string describe(PageEntry entry);

// Bits of /proc/kpageflags that workloads ask for (Documentation/admin-guide/mm/pagemap.rst).
inline constexpr int kKpfCompoundHead = 15;
inline constexpr int kKpfCompoundTail = 16;
inline constexpr int kKpfHuge = 17;  // hugetlb
inline constexpr int kKpfThp = 22;
inline constexpr int kKpfZeroPage = 24;

// What `read` said twice in a row, else what it said last, after a few times.
Result<std::vector<PageEntry>> agreed_entries(
    const std::function<Result<std::vector<PageEntry>>()>& read);

// The pagemap of one process. Holds the file open.
//
// Before 6.5 a read may say of a page what is true of one 2 MiB or more behind it: where a huge
// page is mapped between two looks at its PMD, pagemap_pmd_range() leaves all its entries out
// (pmd_trans_unstable()), and those that come next take their places in the buffer. 7780d04046a2
// looks again. So each read is done until two in a row say the same (agreed_entries()).
class PageMap {
 public:
  static Result<PageMap> open(pid_t pid);
  static Result<PageMap> open_self();

  Result<PageEntry> at(std::uintptr_t address) const;
  // One entry for each 4 KiB page of [address, address + bytes).
  Result<std::vector<PageEntry>> range(std::uintptr_t address, std::size_t bytes) const;

 private:
  explicit PageMap(UniqueFd fd) : fd_(std::move(fd)) {}
  Result<std::vector<PageEntry>> read_once(std::uintptr_t address, std::size_t bytes) const;
  UniqueFd fd_;
};

// /proc/kpageflags: for root only. Holds the file open.
class PageFlags {
 public:
  static Result<PageFlags> open();
  Result<std::uint64_t> of(std::uint64_t pfn) const;

 private:
  explicit PageFlags(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

inline bool has_flag(std::uint64_t flags, int bit) {
  return flags >> bit & 1;
}

}  // namespace mmquake
