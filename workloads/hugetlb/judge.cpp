// SPDX-License-Identifier: GPL-2.0-or-later
#include "workloads/hugetlb/judge.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "guest/memory/page_map.h"

namespace mmquake {
namespace {

// /proc/kpagecount: how often a page is mapped; a hugetlb page counts page-table entries.
Result<std::uint64_t> mapcount_of(std::uint64_t pfn) {
  const UniqueFd fd(open("/proc/kpagecount", O_RDONLY | O_CLOEXEC));
  if (!fd) {
    return broken(fmt::format("open /proc/kpagecount: {}", errno_text(errno)));
  }
  std::uint64_t count = 0;
  const ssize_t got =
      pread(fd.get(), &count, sizeof(count), static_cast<off_t>(pfn * sizeof(count)));
  if (got != static_cast<ssize_t>(sizeof(count))) {
    return broken(fmt::format("read /proc/kpagecount of a page: {}",
                              got < 0 ? errno_text(errno) : "no entry"));
  }
  return count;
}

}  // namespace

std::string title_of(Witness witness, Damage damage) {
  const bool device = witness == Witness::kDevice;
  if (damage != Damage::kStale) {
    return fmt::format("a {} sees a {} cell in shared hugetlb memory",
                       device ? "device" : "process", to_string(damage));
  }
  switch (witness) {
    case Witness::kOwner:
      return "a process's write is lost after migration";
    case Witness::kThirdParty:
      return "a process writes to the old page after migration";
    case Witness::kReader:
      return "a process reads the old page after migration";
    case Witness::kDevice:
      return "a device reads the old page after migration";
    case Witness::kDeviceWrite:
      return "a device's write is lost after migration";
  }
  return "?";
}

CellReading judge_quiet_cell(const CellImage& image, const CellPlace& place,
                             std::uint64_t generation) {
  CellReading reading;
  reading.image = image;
  reading.oldest = reading.newest = generation;
  if (generation != 0) {
    reading.damage = classify(image, place, generation, generation);
  }
  return reading;
}

bool one_entry_for_all(const std::vector<std::uint64_t>& pfns, std::uint64_t mapcount) {
  const bool all_have_it =
      pfns.size() >= 2 && pfns[0] != 0 &&
      std::all_of(pfns.begin(), pfns.end(), [&](std::uint64_t pfn) { return pfn == pfns[0]; });
  return all_have_it && mapcount == 1;
}

Result<bool> pmd_page_is_shared(std::uintptr_t address, const std::vector<pid_t>& pids) {
  std::vector<std::uint64_t> pfns;
  for (const pid_t pid : pids) {
    const Result<PageMap> map = PageMap::open(pid == 0 ? getpid() : pid);
    if (!map) {
      return tl::make_unexpected(map.error());
    }
    const Result<PageEntry> entry = map->at(address);
    if (!entry) {
      return tl::make_unexpected(entry.error());
    }
    pfns.push_back(entry->pfn());
  }
  if (pfns.empty() || pfns[0] == 0) {
    return false;
  }
  const Result<std::uint64_t> mapcount = mapcount_of(pfns[0]);
  if (!mapcount) {
    return tl::make_unexpected(mapcount.error());
  }
  return one_entry_for_all(pfns, *mapcount);
}

std::string describe_mappings(std::uintptr_t address, const std::vector<pid_t>& pids) {
  std::string text;
  for (std::size_t i = 0; i < pids.size(); ++i) {
    const Result<PageMap> map = PageMap::open(pids[i] == 0 ? getpid() : pids[i]);
    const Result<PageEntry> entry = map ? map->at(address) : tl::make_unexpected(map.error());
    text += fmt::format("{}process {}: {}", i == 0 ? "" : "\n", i,
                        entry ? describe(*entry) : entry.error().message);
  }
  return text;
}

}  // namespace mmquake
