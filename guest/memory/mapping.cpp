// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/memory/mapping.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "guest/memory/text_file.h"

namespace mmquake {
namespace {

constexpr const char* kShmemEnabled = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";
constexpr const char* kThpEnabled = "/sys/kernel/mm/transparent_hugepage/enabled";

std::size_t round_up(std::size_t bytes, std::size_t unit) {
  return (bytes + unit - 1) / unit * unit;
}

// The kernel may refuse huge pages silently: ask before, so that the lack is `skipped` by name.
Result<> require_thp(const char* file) {
  auto text = read_text(file);
  if (!text) return skipped(fmt::format("{}: no transparent huge pages in this kernel", file));
  auto mode = chosen(*text);
  if (!mode) return context(file, mode.error());
  if (*mode == "never" || *mode == "deny")
    return skipped(
        fmt::format("{} is '{}': set it to 'advise' or 'always' ('madvise' for "
                    "anonymous memory) to use transparent huge pages",
                    file, *mode));
  return {};
}

Result<> require(Backing backing) {
  if (backing == Backing::kAnonThp) return require_thp(kThpEnabled);
  if (backing == Backing::kShmemThp) return require_thp(kShmemEnabled);
  return {};
}

Result<UniqueFd> make_memfd(Backing backing, std::size_t bytes) {
  unsigned flags = MFD_CLOEXEC;
  if (backing == Backing::kHugetlb2m) flags |= MFD_HUGETLB | MFD_HUGE_2MB;
  const std::string name = fmt::format("mmquake-{}", to_string(backing));
  UniqueFd fd(memfd_create(name.c_str(), flags));
  if (!fd && backing == Backing::kHugetlb2m)
    return skipped(
        fmt::format("memfd_create(MFD_HUGETLB|MFD_HUGE_2MB): {}: the kernel has no 2 MiB hugetlb "
                    "pages, or no CONFIG_HUGETLBFS",
                    errno_text(errno)));
  if (!fd) return broken(fmt::format("memfd_create({}): {}", name, errno_text(errno)));
  if (ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0)
    return broken(fmt::format("ftruncate({}, {}): {}", name, bytes, errno_text(errno)));
  return fd;
}

}  // namespace

std::string_view to_string(Backing backing) {
  switch (backing) {
    case Backing::kAnon4k:
      return "anon-4k";
    case Backing::kAnonThp:
      return "anon-thp";
    case Backing::kShmem4k:
      return "shmem-4k";
    case Backing::kShmemThp:
      return "shmem-thp";
    case Backing::kHugetlb2m:
      return "hugetlb-2m";
  }
  return "?";
}

std::optional<Backing> backing_from(std::string_view name) {
  for (Backing backing : kAllBackings)
    if (to_string(backing) == name) return backing;
  return std::nullopt;
}

std::size_t unit_bytes(Backing backing) {
  return backing == Backing::kAnon4k || backing == Backing::kShmem4k ? kSmallPage : kHugePage;
}

bool is_shared(Backing backing) {
  return backing != Backing::kAnon4k && backing != Backing::kAnonThp;
}

UniqueFd::UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
UniqueFd& UniqueFd::operator=(UniqueFd&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}
UniqueFd::~UniqueFd() {
  if (fd_ >= 0) close(fd_);
}

std::string errno_text(int error) {
  // strerrordesc_np is thread-safe, unlike strerror.
  const char* text = strerrordesc_np(error);
  return fmt::format("{} (errno {})", text ? text : "unknown error", error);
}

Result<Mapping> Mapping::create(Backing backing, std::size_t bytes) {
  const std::string doing = fmt::format("map {} bytes of {}", bytes, to_string(backing));
  if (bytes == 0) return broken(doing + ": the size must be at least 1");
  if (auto ok = require(backing); !ok) return context(doing, ok.error());
  Mapping mapping;
  mapping.backing_ = backing;
  bytes = round_up(bytes, unit_bytes(backing));
  if (is_shared(backing)) {
    auto fd = make_memfd(backing, bytes);
    if (!fd) return context(doing, fd.error());
    mapping.fd_ = std::move(*fd);
  }
  if (auto ok = mapping.map(bytes); !ok) return context(doing, ok.error());
  return mapping;
}

Result<> Mapping::map(std::size_t bytes) {
  // Reserve more than needed, then map over the aligned part: a THP needs an address that agrees
  // with its file offset modulo 2 MiB.
  const std::size_t span = round_up(bytes, kHugePage) + kHugePage;
  void* raw = mmap(nullptr, span, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (raw == MAP_FAILED)
    return broken(fmt::format("reserve {} bytes of address space: {}", span, errno_text(errno)));
  auto* begin = static_cast<std::byte*>(raw);
  const std::size_t gap = round_up(reinterpret_cast<std::uintptr_t>(begin), kHugePage) -
                          reinterpret_cast<std::uintptr_t>(begin);
  std::byte* aligned = begin + gap;
  const int flags = MAP_FIXED | (fd_ ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS);
  void* at = mmap(aligned, bytes, PROT_READ | PROT_WRITE, flags, fd_.get(), 0);
  if (at == MAP_FAILED) {
    const int error = errno;
    munmap(raw, span);
    if (backing_ == Backing::kHugetlb2m && error == ENOMEM)
      return skipped(
          fmt::format("{} hugetlb pages of 2 MiB are not free: reserve them first "
                      "(Needs::hugetlb_2m_per_node)",
                      bytes / kHugePage));
    return broken(fmt::format("mmap: {}", errno_text(error)));
  }
  if (gap) munmap(begin, gap);
  std::byte* tail = aligned + round_up(bytes, kSmallPage);
  if (tail < begin + span) munmap(tail, static_cast<std::size_t>(begin + span - tail));
  data_ = aligned;
  size_ = bytes;
  if (backing_ == Backing::kHugetlb2m) return {};
  const bool huge = unit_bytes(backing_) == kHugePage;
  // A kernel without THP answers EINVAL to both; for small pages that is as good as done.
  if (madvise(data_, size_, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE) != 0 && huge)
    return skipped(fmt::format("madvise(MADV_HUGEPAGE): {}", errno_text(errno)));
  return {};
}

Result<Mapping> Mapping::alias() const {
  if (!fd_) return broken(fmt::format("alias of {}: it has no file", to_string(backing_)));
  Mapping other;
  other.backing_ = backing_;
  other.fd_ = UniqueFd(fcntl(fd_.get(), F_DUPFD_CLOEXEC, 0));
  if (!other.fd_) return broken(fmt::format("alias: dup: {}", errno_text(errno)));
  if (auto ok = other.map(size_); !ok) return context("alias", ok.error());
  return other;
}

Mapping::Mapping(Mapping&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      backing_(other.backing_),
      fd_(std::move(other.fd_)) {}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(backing_, other.backing_);
  std::swap(fd_, other.fd_);
  return *this;
}

Mapping::~Mapping() {
  if (data_) munmap(data_, size_);
}

Result<> Mapping::discard(std::size_t offset, std::size_t bytes) {
  if (offset > size_ || bytes > size_ - offset)
    return broken(fmt::format("discard [{}, +{}) of a mapping of {} bytes: out of range", offset,
                              bytes, size_));
  // MADV_REMOVE punches the hole into the file behind the range.
  const int advice = fd_ ? MADV_REMOVE : MADV_DONTNEED;
  if (madvise(data_ + offset, bytes, advice) != 0)
    return broken(
        fmt::format("discard {} bytes of {}: {}", bytes, to_string(backing_), errno_text(errno)));
  return {};
}

Result<std::uint64_t> Mapping::huge_bytes() const {
  auto text = read_text("/proc/self/smaps");
  if (!text) return context("huge bytes", text.error());
  return huge_bytes_in_smaps(*text, address(), address() + size_);
}

Result<std::string> chosen(std::string_view text) {
  const auto open = text.find('[');
  const auto close = text.find(']', open == std::string_view::npos ? 0 : open);
  if (open == std::string_view::npos || close == std::string_view::npos)
    return broken(fmt::format("'{}': no choice in brackets", text));
  return std::string(text.substr(open + 1, close - open - 1));
}

Result<> set_shmem_thp(std::string_view mode) {
  auto ok = write_text(kShmemEnabled, mode);
  if (!ok) return context("switch huge pages on for shmem", ok.error());
  return {};
}

}  // namespace mmquake
