// SPDX-License-Identifier: GPL-2.0-or-later
//
// The kernel's own book-keeping: /proc/vmstat and the hugetlb counts.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "guest/protocol/result.h"

namespace mmquake {

using KernelCounters = std::map<std::string, std::uint64_t, std::less<>>;

// "name value" (vmstat) and "Name:   value kB" (meminfo) lines. The unit is dropped, not applied.
// A line without a number is an error that quotes it.
Result<KernelCounters> parse_counters(std::string_view text);

// /proc/vmstat. Events (pgmigrate_success, thp_migration_*) are exact; amounts (nr_isolated_*) may
// be off by the CPUs' thresholds unless fold_vmstat() was called just before.
Result<KernelCounters> read_vmstat();

// Folds the per-CPU differences into the global amounts (/proc/sys/vm/stat_refresh, for root). The
// kernel logs "vmstat_refresh: NAME VALUE" for each amount below zero, which /proc/vmstat shows
// as 0. Runs a work item on every CPU: some ms.
void fold_vmstat();

// The value of `name`, or 0 if this kernel does not have it.
std::uint64_t value_of(const KernelCounters& counters, std::string_view name);

// The 2 MiB pool, of a node or of all of them.
struct HugetlbCounts {
  std::uint64_t total = 0;
  std::uint64_t free = 0;
  std::uint64_t reserved = 0;
  std::uint64_t surplus = 0;

  bool operator==(const HugetlbCounts&) const = default;
};

// "total 48, free 40, reserved 0, surplus 0".
std::string describe(const HugetlbCounts& counts);

// From HugePages_* of a meminfo text. These are of the default size: where that is not 2 MiB
// (default_hugepagesz=1G), an error of kind kSkipped.
Result<HugetlbCounts> hugetlb_in_meminfo(std::string_view meminfo);
Result<HugetlbCounts> read_hugetlb();

// One node's share. The kernel keeps no reservations by node: `reserved` is 0.
Result<HugetlbCounts> read_hugetlb_of_node(
    int node, const std::string& sysfs_nodes = "/sys/devices/system/node");

}  // namespace mmquake
