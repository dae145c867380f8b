// SPDX-License-Identifier: GPL-2.0-or-later
//
// hugetlb pages of 1 GiB, taken from the machine at run time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "guest/memory/mapping.h"
#include "guest/protocol/result.h"

namespace mmquake {

inline constexpr std::size_t kGiganticPage = std::size_t{1} << 30;

// One that is mapped (shared, so that a fork copies nothing) and touched.
struct GiganticPage {
  std::byte* data = nullptr;
  std::uint64_t first_pfn = 0;

  std::uintptr_t address() const { return reinterpret_cast<std::uintptr_t>(data); }
};

// Owns its pages and its share of the kernel's pool; gives back both.
class GiganticPages {
 public:
  // Error of kind kSkipped: this CPU or kernel has none of 1 GiB.
  static Result<GiganticPages> open();
  GiganticPages(GiganticPages&& other) noexcept;
  GiganticPages& operator=(GiganticPages&& other) noexcept;
  GiganticPages(const GiganticPages&) = delete;
  GiganticPages& operator=(const GiganticPages&) = delete;
  ~GiganticPages();
  GiganticPages() = default;

  // One page more. Error of kind kSkipped: no GiB of free memory lies together any more.
  Result<GiganticPage> take();
  std::size_t size() const { return pages_.size(); }

 private:
  std::string pool_;  // the sysfs file with the pool's size
  std::uint64_t size_before_ = 0;
  std::vector<GiganticPage> pages_;
};

// A file that is one such page, mapped; from a pool that somebody has filled. Not touched yet.
class GiganticFile {
 public:
  static Result<GiganticFile> create();
  GiganticFile(GiganticFile&& other) noexcept;
  GiganticFile& operator=(GiganticFile&& other) noexcept;
  GiganticFile(const GiganticFile&) = delete;
  GiganticFile& operator=(const GiganticFile&) = delete;
  ~GiganticFile();

  std::byte* data() const { return data_; }
  int fd() const { return fd_.get(); }

 private:
  GiganticFile(UniqueFd fd, std::byte* data) : fd_(std::move(fd)), data_(data) {}
  UniqueFd fd_;
  std::byte* data_ = nullptr;
};

}  // namespace mmquake
