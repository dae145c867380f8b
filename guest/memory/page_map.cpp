// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/memory/page_map.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace mmquake {
namespace {

Result<UniqueFd> open_readonly(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return broken(fmt::format("open {}: {}", path, errno_text(errno)));
  return fd;
}

// Reads `count` entries of 8 bytes, starting with entry number `index`.
Result<> read_entries(int fd, std::uint64_t index, std::uint64_t* out, std::size_t count,
                      const char* what) {
  auto* bytes = reinterpret_cast<char*>(out);
  const std::size_t wanted = count * sizeof(std::uint64_t);
  std::size_t done = 0;
  while (done < wanted) {
    const ssize_t got = pread(fd, bytes + done, wanted - done,
                              static_cast<off_t>(index * sizeof(std::uint64_t) + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return broken(fmt::format("read {}: {}", what, errno_text(errno)));
    if (got == 0)
      return broken(fmt::format("read {}: no entry number {:#x}", what,
                                index + done / sizeof(std::uint64_t)));
    done += static_cast<std::size_t>(got);
  }
  return {};
}

}  // namespace

std::string describe(PageEntry entry) {
  std::string text = fmt::format("{:#018x}", entry.raw);
  if (entry.present()) text += fmt::format(" present pfn={:#x}", entry.pfn());
  if (entry.swapped()) text += " swapped-or-migrating";
  if (entry.file_or_shared()) text += " file-or-shared";
  if (entry.uffd_wp()) text += " uffd-wp";
  if (entry.exclusive()) text += " exclusive";
  if (entry.soft_dirty()) text += " soft-dirty";
  if (!entry.present() && !entry.swapped()) text += " none";
  return text;
}

Result<PageMap> PageMap::open(pid_t pid) {
  auto fd = open_readonly(fmt::format("/proc/{}/pagemap", pid));
  if (!fd) return tl::make_unexpected(fd.error());
  return PageMap(std::move(*fd));
}

Result<PageMap> PageMap::open_self() {
  return open(getpid());
}

Result<std::vector<PageEntry>> agreed_entries(
    const std::function<Result<std::vector<PageEntry>>()>& read) {
  constexpr int kTries = 5;
  const auto same = [](PageEntry a, PageEntry b) { return a.raw == b.raw; };
  Result<std::vector<PageEntry>> last = read();
  for (int i = 1; i < kTries && last; ++i) {
    Result<std::vector<PageEntry>> next = read();
    if (next && std::equal(last->begin(), last->end(), next->begin(), next->end(), same)) break;
    last = std::move(next);
  }
  return last;
}

Result<PageEntry> PageMap::at(std::uintptr_t address) const {
  const Result<std::vector<PageEntry>> entry = range(address, kSmallPage);
  if (!entry) return tl::make_unexpected(entry.error());
  return entry->front();
}

Result<std::vector<PageEntry>> PageMap::range(std::uintptr_t address, std::size_t bytes) const {
  return agreed_entries([&] { return read_once(address, bytes); });
}

Result<std::vector<PageEntry>> PageMap::read_once(std::uintptr_t address, std::size_t bytes) const {
  static_assert(sizeof(PageEntry) == sizeof(std::uint64_t));
  std::vector<PageEntry> entries((bytes + kSmallPage - 1) / kSmallPage);
  if (entries.empty()) return entries;
  if (auto ok =
          read_entries(fd_.get(), address / kSmallPage, &entries[0].raw, entries.size(), "pagemap");
      !ok)
    return tl::make_unexpected(ok.error());
  return entries;
}

Result<PageFlags> PageFlags::open() {
  auto fd = open_readonly("/proc/kpageflags");
  if (!fd) return tl::make_unexpected(fd.error());
  return PageFlags(std::move(*fd));
}

Result<std::uint64_t> PageFlags::of(std::uint64_t pfn) const {
  std::uint64_t flags = 0;
  if (auto ok = read_entries(fd_.get(), pfn, &flags, 1, "kpageflags"); !ok)
    return tl::make_unexpected(ok.error());
  return flags;
}

}  // namespace mmquake
