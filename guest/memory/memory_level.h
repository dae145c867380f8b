// SPDX-License-Identifier: GPL-2.0-or-later
//
// How much memory the kernel has given away, and whether its counts of a process's pages are true.
// For a look before and one after: what is let go must come back.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "guest/memory/kernel_counters.h"
#include "guest/protocol/result.h"

namespace mmquake {

struct MemoryLevel {
  // Without what the kernel may keep at will: caches, slab, page tables, per-CPU lists and data.
  // Signed: the counts are not taken at one moment.
  std::int64_t used_kb = 0;
  // The hugetlb pools of all sizes, as a whole ("2048kB") and by node ("2048kB of node1").
  std::map<std::string, HugetlbCounts> pools;
};

// Of a meminfo and a zoneinfo text.
Result<std::int64_t> used_kb(std::string_view meminfo, std::string_view zoneinfo);

// Drops the caches first.
Result<MemoryLevel> read_memory_level();
// `sysfs` stands for /sys, for tests. A count that cannot be read is an error; a kernel without
// pools has none.
Result<std::map<std::string, HugetlbCounts>> read_hugetlb_pools(const std::string& sysfs = "/sys");

// What contradicts "everything is back, but for `allowed_kb`". nullopt: nothing. Title, newline,
// evidence.
std::optional<std::string> not_given_back(const MemoryLevel& before, const MemoryLevel& after,
                                          std::int64_t allowed_kb);

// A process's resident pages as the kernel counts them (VmRSS of its status) and as its page tables
// have them (Rss of its smaps_rollup).
struct ResidentPages {
  std::int64_t counted_kb = 0;
  std::int64_t mapped_kb = 0;
  std::int64_t threads = 0;
};
// The error says which text lacks what.
Result<ResidentPages> resident_pages(std::string_view status, std::string_view smaps_rollup);
Result<ResidentPages> read_resident_pages(int pid);

// How far the two may be apart at most.
std::int64_t resident_error_kb(const ResidentPages& pages, std::int64_t cpus,
                               std::string_view release);

}  // namespace mmquake
