// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/memory/memory_level.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <system_error>
#include <tuple>
#include <utility>

#include "guest/memory/kernel_quirks.h"
#include "guest/memory/text_file.h"

namespace mmquake {
namespace {

constexpr std::int64_t kPageKb = 4;
constexpr std::string_view kPoolPrefix = "hugepages-";

std::int64_t kb_of(const KernelCounters& meminfo, std::string_view name) {
  return static_cast<std::int64_t>(value_of(meminfo, name));
}

// A file of one number. `needed`: that it is not there is an error; else it is 0.
Result<std::uint64_t> number_in(const std::filesystem::path& file, bool needed) {
  std::error_code error;
  if (!needed && !std::filesystem::exists(file, error)) {
    return 0;
  }
  const Result<std::string> text = read_text(file);
  if (!text) {
    return tl::make_unexpected(text.error());
  }
  std::string_view rest = *text;
  const std::optional<std::uint64_t> number = to_number(next_line(rest).value_or(""));
  if (!number) {
    return broken(fmt::format("{}: '{}' is no number", file.string(), *text));
  }
  return *number;
}

Result<HugetlbCounts> read_pool(const std::filesystem::path& pool) {
  HugetlbCounts out;
  // A node keeps no reservations.
  for (const auto& [name, to, needed] : {std::tuple{"nr_hugepages", &out.total, true},
                                         {"free_hugepages", &out.free, true},
                                         {"resv_hugepages", &out.reserved, false},
                                         {"surplus_hugepages", &out.surplus, true}}) {
    const Result<std::uint64_t> number = number_in(pool / name, needed);
    if (!number) {
      return tl::make_unexpected(number.error());
    }
    *to = *number;
  }
  return out;
}

// The pools below one folder of sysfs; none if the kernel has no hugetlb pages.
Result<> add_pools(const std::filesystem::path& folder, const std::string& suffix,
                   std::map<std::string, HugetlbCounts>& pools) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(kPoolPrefix)) {
      continue;
    }
    const Result<HugetlbCounts> counts = read_pool(entry.path());
    if (!counts) {
      return tl::make_unexpected(counts.error());
    }
    pools[name.substr(kPoolPrefix.size()) + suffix] = *counts;
  }
  return {};
}

}  // namespace

Result<std::int64_t> used_kb(std::string_view meminfo, std::string_view zoneinfo) {
  Result<KernelCounters> counts = parse_counters(meminfo);
  if (!counts) {
    return context("/proc/meminfo", counts.error());
  }
  std::int64_t used = kb_of(*counts, "MemTotal") - kb_of(*counts, "MemFree");
  for (const std::string_view kept :
       {"Buffers", "Cached", "Slab", "PageTables", "Percpu", "HardwareCorrupted"}) {
    used -= kb_of(*counts, kept);
  }
  used += kb_of(*counts, "Shmem");  // which is among what is cached
  while (const auto line = next_line(zoneinfo)) {
    std::string_view rest = *line;
    if (next_word(rest) == "count:") {  // of a CPU's list of free pages
      used -= static_cast<std::int64_t>(to_number(next_word(rest)).value_or(0)) * kPageKb;
    }
  }
  return used;
}

Result<std::map<std::string, HugetlbCounts>> read_hugetlb_pools(const std::string& sysfs) {
  std::map<std::string, HugetlbCounts> pools;
  Result<> added = add_pools(sysfs + "/kernel/mm/hugepages", "", pools);
  std::error_code error;
  for (const auto& entry :
       std::filesystem::directory_iterator(sysfs + "/devices/system/node", error)) {
    const std::string name = entry.path().filename().string();
    if (added && name.starts_with("node")) {
      added = add_pools(entry.path() / "hugepages", " of " + name, pools);
    }
  }
  if (!added) {
    return tl::make_unexpected(added.error());
  }
  return pools;
}

Result<MemoryLevel> read_memory_level() {
  // With the caches in it, the level would be no measure.
  if (Result<> dropped = write_text("/proc/sys/vm/drop_caches", "3"); !dropped) {
    return tl::make_unexpected(dropped.error());
  }
  fold_vmstat();
  const Result<std::string> meminfo = read_text("/proc/meminfo");
  const Result<std::string> zoneinfo = read_text("/proc/zoneinfo");
  if (!meminfo || !zoneinfo) {
    return tl::make_unexpected(meminfo ? zoneinfo.error() : meminfo.error());
  }
  const Result<std::int64_t> used = used_kb(*meminfo, *zoneinfo);
  if (!used) {
    return tl::make_unexpected(used.error());
  }
  Result<std::map<std::string, HugetlbCounts>> pools = read_hugetlb_pools();
  if (!pools) {
    return tl::make_unexpected(pools.error());
  }
  return MemoryLevel{*used, std::move(*pools)};
}

std::optional<std::string> not_given_back(const MemoryLevel& before, const MemoryLevel& after,
                                          std::int64_t allowed_kb) {
  std::string wrong;
  for (const auto& [pool, counts] : after.pools) {
    const auto was = before.pools.find(pool);
    if (was != before.pools.end() && was->second != counts) {
      wrong += fmt::format("{}: {} before, {} with nothing in use\n", pool, describe(was->second),
                           describe(counts));
    }
  }
  if (!wrong.empty()) {
    return "hugetlb pages did not come back\n" + wrong;
  }
  const std::int64_t more = after.used_kb - before.used_kb;
  if (more > allowed_kb) {
    return fmt::format(
        "memory did not come back\n{} kB more in use than before, {} kB allowed: neither cache nor "
        "slab, page table or free page of a CPU\n",
        more, allowed_kb);
  }
  return std::nullopt;
}

Result<ResidentPages> resident_pages(std::string_view status, std::string_view smaps_rollup) {
  const auto counted = number_of_field(status, "VmRSS:");
  const auto threads = number_of_field(status, "Threads:");
  const auto mapped = number_of_field(smaps_rollup, "Rss:");
  if (!counted || !threads || !mapped) {
    return broken(fmt::format("no {} in a process's {}",
                              !counted ? "VmRSS" : (!threads ? "Threads" : "Rss"),
                              mapped ? "status" : "smaps_rollup"));
  }
  return ResidentPages{static_cast<std::int64_t>(*counted), static_cast<std::int64_t>(*mapped),
                       static_cast<std::int64_t>(*threads)};
}

Result<ResidentPages> read_resident_pages(int pid) {
  const std::string folder = fmt::format("/proc/{}/", pid);
  const Result<std::string> status = read_text(folder + "status");
  const Result<std::string> rollup = read_text(folder + "smaps_rollup");
  if (!status || !rollup) {
    return tl::make_unexpected(status ? rollup.error() : status.error());
  }
  return resident_pages(*status, *rollup);
}

std::int64_t resident_error_kb(const ResidentPages& pages, std::int64_t cpus,
                               std::string_view release) {
  constexpr std::int64_t kFaults = 65;
  constexpr std::int64_t kFaultAround = 16;  // fault_around_bytes
  constexpr std::int64_t kCounts = 3;
  // percpu_counter_batch
  const std::int64_t batch = std::max<std::int64_t>(32, 2 * cpus);
  return kPageKb * (threads_keep_counts(release) ? pages.threads * kFaults * kFaultAround
                                                 : cpus * kCounts * batch);
}

}  // namespace mmquake
