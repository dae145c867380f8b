// SPDX-License-Identifier: GPL-2.0-or-later
//
// The kernel's book-keeping, compared with what migrate-verify holds. All roles are parked.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "guest/memory/kernel_counters.h"
#include "guest/memory/mapping.h"

namespace mmquake {

// The 2 MiB pool as a whole and node by node.
struct HugetlbLedger {
  HugetlbCounts whole;
  std::map<int, HugetlbCounts> nodes;  // the kernel keeps no reservations by node
};

Result<HugetlbLedger> read_ledger(const std::vector<int>& nodes);

// What contradicts "since `before`, exactly `mine` pages (by node) were taken, and no reservation
// is open". nullopt: nothing.
std::optional<std::string> hugetlb_mismatch(const HugetlbLedger& before, const HugetlbLedger& now,
                                            const std::map<int, std::uint64_t>& mine);

// Lines that the kernel has logged since this was opened.
class KernelLog {
 public:
  static Result<KernelLog> open();
  // The new lines that hold `needle`. Bounded: a flooded log is read on with the next call.
  std::vector<std::string> lines_with(std::string_view needle);

 private:
  explicit KernelLog(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

// Calls `look` until it finds nothing wrong, at most until `deadline`. What was wrong the last
// time. For counts that settle a moment after everything stands still: pages on their way through
// a per-CPU list, a huge page that a worker frees, kcompactd at work.
using Clock = std::chrono::steady_clock;
Result<std::optional<std::string>> wrong_until(
    Clock::time_point deadline, const std::function<Result<std::optional<std::string>>()>& look);

// nr_isolated_anon and nr_isolated_file of this vmstat text, or a count below zero that
// vmstat_refresh() logged: "nr_isolated_anon is 3".
std::optional<std::string> isolated_left(const KernelCounters& vmstat,
                                         const std::vector<std::string>& negative);

// What contradicts "between these two vmstat texts, at least `moved` pages migrated, `moved_thp` of
// them huge": the two growths. nullopt: nothing.
std::optional<std::string> migrations_not_counted(const KernelCounters& before,
                                                  const KernelCounters& after, std::uint64_t moved,
                                                  std::uint64_t moved_thp);

}  // namespace mmquake
