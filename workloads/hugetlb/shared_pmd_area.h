// SPDX-License-Identifier: GPL-2.0-or-later
//
// Hugetlb memory whose page tables are shared between processes. The kernel shares a page of PMDs
// where a shared mapping covers 1 GiB, aligned to 1 GiB (want_pmd_share() in mm/hugetlb.c), so this
// takes 2 GiB of address space, and a few huge pages of memory in the first half of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "guest/memory/mapping.h"
#include "guest/protocol/result.h"

namespace mmquake {

// Maps nothing until renew(). Its address stays, whatever is mapped there.
class SharedPmdArea {
 public:
  static constexpr std::size_t kPmdSpan = 1UL << 30;  // of what one page of PMDs maps
  static constexpr std::size_t kBytes = 2 * kPmdSpan;
  // Every other huge page is used: a device that drops more than it is told drops a gap.
  static constexpr std::size_t kMaxPages = kPmdSpan / kHugePage / 2;

  static Result<SharedPmdArea> create();
  SharedPmdArea() = default;
  SharedPmdArea(SharedPmdArea&& other) noexcept;
  SharedPmdArea& operator=(SharedPmdArea&& other) noexcept;
  SharedPmdArea(const SharedPmdArea&) = delete;
  SharedPmdArea& operator=(const SharedPmdArea&) = delete;
  ~SharedPmdArea();

  // Maps a new and empty file.
  Result<> renew();
  // Maps the same file again. The kernel walks the mappings of a page in the order in which they
  // were made (those with the same beginning): this one is the last of all then.
  Result<> remap();
  // Makes two areas of the mapping by a flag that has no other effect here (MADV_DONTDUMP on the
  // second half). The first one is taken out of the kernel's order and put in as the last.
  Result<> split();

  int fd() const { return fd_.get(); }  // of the file that renew() made
  std::byte* data() const { return data_; }
  std::uintptr_t address() const { return reinterpret_cast<std::uintptr_t>(data_); }
  std::uintptr_t page(std::size_t index) const { return address() + index * 2 * kHugePage; }
  // Of the first `count` pages.
  std::vector<std::uintptr_t> pages(std::size_t count) const;

 private:
  Result<> map();

  void* reserved_ = nullptr;
  std::byte* data_ = nullptr;
  UniqueFd fd_;
};

}  // namespace mmquake
