// SPDX-License-Identifier: GPL-2.0-or-later
#include "workloads/hugetlb/shared_pmd_area.h"

#include <fmt/core.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace mmquake {
namespace {

constexpr std::size_t kReserved = SharedPmdArea::kBytes + SharedPmdArea::kPmdSpan;

}  // namespace

Result<SharedPmdArea> SharedPmdArea::create() {
  void* at =
      mmap(nullptr, kReserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) {
    return broken(
        fmt::format("reserve {} bytes of address space: {}", kReserved, errno_text(errno)));
  }
  SharedPmdArea area;
  area.reserved_ = at;
  const auto begin = reinterpret_cast<std::uintptr_t>(at);
  const std::uintptr_t aligned = (begin + kPmdSpan - 1) / kPmdSpan * kPmdSpan;
  area.data_ = static_cast<std::byte*>(at) + (aligned - begin);
  return area;
}

SharedPmdArea::SharedPmdArea(SharedPmdArea&& other) noexcept
    : reserved_(std::exchange(other.reserved_, nullptr)),
      data_(std::exchange(other.data_, nullptr)),
      fd_(std::move(other.fd_)) {}

SharedPmdArea& SharedPmdArea::operator=(SharedPmdArea&& other) noexcept {
  std::swap(reserved_, other.reserved_);
  std::swap(data_, other.data_);
  std::swap(fd_, other.fd_);
  return *this;
}

SharedPmdArea::~SharedPmdArea() {
  if (reserved_ != nullptr) {
    munmap(reserved_, kReserved);
  }
}

Result<> SharedPmdArea::renew() {
  UniqueFd fd(memfd_create("mmquake-shared-pmd", MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB));
  if (!fd) {
    return skipped(
        fmt::format("memfd_create(MFD_HUGETLB|MFD_HUGE_2MB): {}: the kernel has no "
                    "2 MiB hugetlb pages, or no CONFIG_HUGETLBFS",
                    errno_text(errno)));
  }
  if (ftruncate(fd.get(), static_cast<off_t>(kBytes)) != 0) {
    return broken(fmt::format("ftruncate of a hugetlb memfd: {}", errno_text(errno)));
  }
  fd_ = std::move(fd);
  return map();
}

Result<> SharedPmdArea::remap() {
  return map();
}

Result<> SharedPmdArea::map() {
  // NORESERVE: a hole of the file takes no page from the pool, and most of it is hole.
  void* at = mmap(data_, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE,
                  fd_.get(), 0);
  if (at == MAP_FAILED) {
    return broken(fmt::format("map {} bytes of hugetlb: {}", kBytes, errno_text(errno)));
  }
  return {};
}

Result<> SharedPmdArea::split() {
  if (madvise(data_ + kPmdSpan, kPmdSpan, MADV_DONTDUMP) != 0) {
    return broken(
        fmt::format("madvise(MADV_DONTDUMP) of a hugetlb mapping: {}", errno_text(errno)));
  }
  return {};
}

std::vector<std::uintptr_t> SharedPmdArea::pages(std::size_t count) const {
  std::vector<std::uintptr_t> all(count);
  for (std::size_t i = 0; i < count; ++i) {
    all[i] = page(i);
  }
  return all;
}

}  // namespace mmquake
