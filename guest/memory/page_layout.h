// SPDX-License-Identifier: GPL-2.0-or-later
//
// 2 MiB of anonymous memory in which neighbouring PTEs need not map neighbouring pages of one huge
// page. All of it is done by moving, dropping and faulting PTEs: no page is migrated or split.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "guest/memory/mapping.h"
#include "guest/protocol/result.h"

namespace mmquake {

enum class LayoutKind {
  kContiguous,   // one huge page, mapped by its PMD: the control
  kMremapHead,   // A[0], then B[0..510]: two mremap()s
  kRefaultTail,  // A[0..7], then 504 small pages: MADV_DONTNEED and new faults
  kCowTail,      // A[0..7], then 504 small pages: fork and copy on write
  kAlternate,    // A[0], B[0], A[1], B[1], ...: 512 mremap()s
};

inline constexpr std::array<LayoutKind, 5> kAllLayouts{
    LayoutKind::kContiguous, LayoutKind::kMremapHead, LayoutKind::kRefaultTail,
    LayoutKind::kCowTail, LayoutKind::kAlternate};

// "contiguous", "mremap-head", "refault-tail", "cow-tail", "alternate".
std::string_view to_string(LayoutKind kind);
std::optional<LayoutKind> layout_from(std::string_view name);

inline constexpr std::size_t kPagesOfHugePage = kHugePage / kSmallPage;
// Of the layouts with a tail: how many pages stay with the huge page.
inline constexpr std::size_t kKeptPages = 8;

// What the first word of a page of huge page `which` (0: A, 1: B) holds after build().
constexpr std::uint64_t layout_stamp(int which, std::size_t index) {
  return 0x6c61796f75740000U + static_cast<std::uint64_t>(which) * kPagesOfHugePage + index;
}

class PageLayout {
 public:
  // Says of a huge page's first PFN whether the layout may be made of it.
  using Accept = std::function<bool(std::uint64_t pfn)>;

  // Takes huge pages from the kernel until enough of them were accepted. An error of kind kSkipped:
  // it gave none that was, or none at all. Without `accept`, what the kernel gives is taken as it
  // is, huge or not (for tests without privileges).
  static Result<PageLayout> build(LayoutKind kind, const Accept& accept);

  PageLayout(PageLayout&& other) noexcept;
  PageLayout(const PageLayout&) = delete;
  PageLayout& operator=(PageLayout&&) = delete;
  PageLayout& operator=(const PageLayout&) = delete;
  ~PageLayout() = default;

  LayoutKind kind() const { return kind_; }
  std::uintptr_t address() const { return window_->address(); }
  std::byte* data() const { return window_->data(); }
  static constexpr std::size_t size() { return kHugePage; }
  // The word that page `page` of the window holds until someone writes to it.
  std::uint64_t expected(std::size_t page) const;

 private:
  PageLayout() = default;
  Result<> arrange();
  // Moves PTEs of a huge page to page `to` of the window.
  Result<> move_ptes(int which, std::size_t from, std::size_t count, std::size_t to);
  Result<> refault_tail();
  Result<> cow_tail();

  LayoutKind kind_ = LayoutKind::kContiguous;
  std::vector<Mapping> huge_;  // A, or A and B
  Mapping room_;               // where PTEs are moved to
  Mapping* window_ = nullptr;  // &room_ or &huge_[0]
};

}  // namespace mmquake
