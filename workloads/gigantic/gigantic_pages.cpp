// SPDX-License-Identifier: GPL-2.0-or-later
#include "workloads/gigantic/gigantic_pages.h"

#include <fmt/core.h>
#include <linux/mman.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "guest/memory/mapping.h"
#include "guest/memory/page_map.h"
#include "guest/memory/text_file.h"

namespace mmquake {
namespace {

// MFD_HUGE_1GB, whose header does not go with memfd_create().
constexpr unsigned kHuge1Gb = 30U << 26U;
constexpr const char* kPool = "/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages";

Result<std::uint64_t> read_pool(const std::string& file) {
  Result<std::string> text = read_text(file);
  if (!text) {
    return tl::make_unexpected(text.error());
  }
  std::string_view rest = *text;
  const auto size = to_number(next_line(rest).value_or(""));
  return size ? Result<std::uint64_t>(*size)
              : Result<std::uint64_t>(broken(fmt::format("{}: '{}' is no number", file, *text)));
}

}  // namespace

Result<GiganticPages> GiganticPages::open() {
  Result<std::uint64_t> size = read_pool(kPool);
  if (!size) {
    return skipped(size.error().message +
                   ": no hugetlb pages of 1 GiB here (CPU flag pdpe1gb, "
                   "CONFIG_HUGETLBFS)");
  }
  GiganticPages pages;
  pages.pool_ = kPool;
  pages.size_before_ = *size;
  return pages;
}

GiganticPages::GiganticPages(GiganticPages&& other) noexcept
    : pool_(std::exchange(other.pool_, {})),
      size_before_(other.size_before_),
      pages_(std::exchange(other.pages_, {})) {}

GiganticPages& GiganticPages::operator=(GiganticPages&& other) noexcept {
  std::swap(pool_, other.pool_);
  std::swap(size_before_, other.size_before_);
  std::swap(pages_, other.pages_);
  return *this;
}

GiganticPages::~GiganticPages() {
  for (const GiganticPage& page : pages_) {
    munmap(page.data, kGiganticPage);
  }
  if (!pool_.empty()) {
    // A guest that ends has no use for the error.
    (void)write_text(pool_, fmt::format("{}\n", size_before_));
  }
}

Result<GiganticPage> GiganticPages::take() {
  const std::uint64_t wanted = size_before_ + pages_.size() + 1;
  if (Result<> grown = write_text(pool_, fmt::format("{}\n", wanted)); !grown) {
    return tl::make_unexpected(grown.error());
  }
  Result<std::uint64_t> size = read_pool(pool_);
  if (!size) {
    return tl::make_unexpected(size.error());
  }
  if (*size < wanted) {
    return skipped(
        fmt::format("the machine gives {} hugetlb pages of 1 GiB at run time, and no {}: "
                    "it needs a free, aligned GiB (machines numa2-dimm, numa2-gigantic) "
                    "and a kernel that can take it (CONFIG_CONTIG_ALLOC)",
                    *size, wanted));
  }
  void* const at = mmap(nullptr, kGiganticPage, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB | MAP_HUGE_1GB, -1, 0);
  if (at == MAP_FAILED) {
    return broken(fmt::format("map a page of 1 GiB: {}", errno_text(errno)));
  }
  GiganticPage page{static_cast<std::byte*>(at), 0};
  pages_.push_back(page);
  *reinterpret_cast<volatile char*>(page.data) = 1;
  Result<PageMap> map = PageMap::open_self();
  if (!map) {
    return tl::make_unexpected(map.error());
  }
  Result<PageEntry> entry = map->at(page.address());
  if (!entry) {
    return tl::make_unexpected(entry.error());
  }
  if (entry->pfn() == 0) {
    return broken("pagemap does not tell the PFN of a page of 1 GiB: " + describe(*entry));
  }
  page.first_pfn = entry->pfn();
  pages_.back() = page;
  return page;
}

Result<GiganticFile> GiganticFile::create() {
  UniqueFd fd(memfd_create("mmquake-gigantic", MFD_CLOEXEC | MFD_HUGETLB | kHuge1Gb));
  if (!fd || ftruncate(fd.get(), static_cast<off_t>(kGiganticPage)) != 0) {
    return skipped(fmt::format("a file of hugetlb pages of 1 GiB: {}", errno_text(errno)));
  }
  void* const at = mmap(nullptr, kGiganticPage, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (at == MAP_FAILED) {
    return broken(fmt::format("map a page of 1 GiB: {}", errno_text(errno)));
  }
  return GiganticFile(std::move(fd), static_cast<std::byte*>(at));
}

GiganticFile::GiganticFile(GiganticFile&& other) noexcept
    : fd_(std::move(other.fd_)), data_(std::exchange(other.data_, nullptr)) {}

GiganticFile& GiganticFile::operator=(GiganticFile&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(data_, other.data_);
  return *this;
}

GiganticFile::~GiganticFile() {
  if (data_ != nullptr) {
    munmap(data_, kGiganticPage);
  }
}

}  // namespace mmquake
