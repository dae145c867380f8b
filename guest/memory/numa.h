// SPDX-License-Identifier: GPL-2.0-or-later
//
// Moving pages between nodes, and asking where they are. Thin: a status is what the kernel said
// (mm/migrate.c, do_pages_move). The system calls are made directly, not through libnuma, whose
// wrappers hide the untouched statuses and need its start-up code.
#pragma once

#include <sys/types.h>

#include <climits>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "guest/memory/zone_map.h"
#include "guest/protocol/result.h"

namespace mmquake {

// A page whose status the kernel left untouched, as it does for a batch that it gave up.
inline constexpr int kNotReported = INT_MIN;

// "node 1", "EBUSY", "not-reported": stable words for counters and evidence.
std::string status_text(int status);

struct MoveResult {
  long returned = 0;        // what move_pages returned: 0, or how many pages were not moved
  int error = 0;            // errno when it returned -1
  std::vector<int> status;  // for each page: its node, -errno, or kNotReported
};

// move_pages(pid, addresses, all to `node`) with MPOL_MF_MOVE_ALL, so that pages that several
// processes map are moved as well (needs CAP_SYS_NICE). pid 0 is the caller.
MoveResult move_pages_to(pid_t pid, const std::vector<std::uintptr_t>& addresses, int node);

// The same with one target for each page. The kernel moves runs of pages with one target as a
// batch. A status >= 0 is where the page is, also if it was there before; if a page of a batch
// cannot be moved, the kernel gives up there and leaves all later statuses untouched.
MoveResult move_pages_to(pid_t pid, const std::vector<std::uintptr_t>& addresses,
                         const std::vector<int>& nodes);

// Where the pages are now: node or -errno (-ENOENT: nothing mapped there).
Result<std::vector<int>> nodes_of(pid_t pid, const std::vector<std::uintptr_t>& addresses);

// mbind(MPOL_BIND to `node`, MPOL_MF_MOVE_ALL | MPOL_MF_STRICT) on the caller's own range.
// Returns 0 or an errno; EIO means that some page stayed where it was.
int bind_and_move(std::uintptr_t address, std::size_t bytes, int node);

// Takes the policy off a range again. Returns 0 or an errno. Moves nothing.
int unbind(std::uintptr_t address, std::size_t bytes);

// set_mempolicy(MPOL_PREFERRED) of the calling thread: its new pages come from `node` while that
// has some. Returns 0 or an errno.
int prefer_node(int node);

// migrate_pages(pid, {from}, {to}): the pages that could not be moved, or -errno.
long migrate_process(pid_t pid, int from, int to);

// Works off the batches of pages that each CPU keeps back on their way to an LRU list, or out of
// being mlocked (mm/mlock.c: munlock() drains only the CPU that it ends on). To migrate a node to
// itself does that and nothing else (do_migrate_pages() in mm/mempolicy.c). Negative errno.
long drain_lru_batches(int node);

// Which PFNs belong to which node, from the zones' spans in /proc/zoneinfo: a second opinion to
// what the kernel derives from the page itself. Spans of zones may hold holes, and in odd machines
// pages of another node; a PFN that several nodes claim belongs to none.
class NodeRanges {
 public:
  static Result<NodeRanges> read();
  static Result<NodeRanges> from_zoneinfo(std::string_view text);
  std::optional<int> node_of(std::uint64_t pfn) const;

 private:
  explicit NodeRanges(ZoneMap zones) : zones_(std::move(zones)) {}
  ZoneMap zones_;
};

}  // namespace mmquake
