// SPDX-License-Identifier: GPL-2.0-or-later
//
// Where the kernel says that pages are, by ways that must agree. All roles are parked meanwhile.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "guest/memory/kernel_counters.h"
#include "guest/memory/numa.h"
#include "guest/memory/page_map.h"
#include "workloads/migration/region.h"

namespace mmquake {

// One unit as one process has it mapped.
struct Sight {
  std::uint32_t region = 0;
  std::size_t unit = 0;
  int process = 0;
  std::string name;         // of the region
  std::size_t pages = 1;    // that lie behind the first one's PFN; 1 unless it is one huge page
  int said = kNotReported;  // by move_pages(nodes = NULL)
  PageEntry entry;          // of the unit's first page
};

// 512 if the entry of a unit's first page is the head of a huge page, else 1. `flags` may be null:
// nothing is huge then.
std::size_t pages_at(const Region& region, PageEntry entry, const PageFlags* flags);

// Where the units are that one process has of its own or shares, and whether they are huge pages.
Result<std::vector<Sight>> look_at(const std::vector<Region>& regions, int process, int pid,
                                   const PageFlags* flags);

// Whether these sights, taken while nothing moved, contradict each other: a node against the PFN,
// one place in two processes, two places with one page.
std::optional<FindingRecord> judge_sights(std::vector<Sight> sights, const NodeRanges& ranges);

// One page that was moved while nobody else moved anything.
struct QuietMove {
  std::string what;  // "anon-thp of process 1, unit 3"
  std::string by;    // "move_pages" or "mbind"
  int before = kNotReported;
  int status = kNotReported;  // the node where the call says that the page is, or -errno
  int said = kNotReported;    // asked afterwards
  PageEntry entry;            // page map afterwards
};

std::optional<FindingRecord> judge_quiet(const std::vector<QuietMove>& moves,
                                         const NodeRanges& ranges);

// What moves pages without being asked by this workload (compaction, khugepaged, NUMA balancing,
// reclaim): the sum of the events that tell of it. Two equal sums: nothing of it happened between.
std::uint64_t background_moves(const KernelCounters& vmstat);

}  // namespace mmquake
