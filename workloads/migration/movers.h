// SPDX-License-Identifier: GPL-2.0-or-later
//
// The three ways to move pages that migrate-verify runs at once, and what came of each call.
//
// How migrations are counted. A status >= 0 of move_pages only says where a page is: it may have
// been there before, or another mover may have brought it. So a mover asks where the units are,
// moves them, asks again (move_pages: takes the status), and what has changed its node is a
// candidate. Of several movers that see the same change one counts it: the one that turns the node
// in the unit's book from the old into the new one. The sum over all movers is therefore no more
// than what the kernel did; which mover gets a contested one is chance.
#pragma once

#include <array>
#include <map>
#include <string>
#include <vector>

#include "guest/runner/workload.h"
#include "workloads/migration/region.h"

namespace mmquake {

enum class Mover : std::uint32_t { kMovePages, kMbind, kMigratePages };
inline constexpr std::array<Mover, 3> kAllMovers{Mover::kMovePages, Mover::kMbind,
                                                 Mover::kMigratePages};
std::string_view to_string(Mover mover);

class Movers {
 public:
  // All of these outlive the movers; only in set_up(), since it makes counters.
  Movers(std::vector<Region>& regions, Book& book, const std::vector<int>& nodes, Environment& env);

  // A bounded number of calls each. `process` is the caller's.
  Result<> move_some(RoleContext& context);
  Result<> bind_some(RoleContext& context, int process);
  Result<> migrate_one(RoleContext& context);

  std::uint64_t moved(Backing backing, Mover mover) const;
  std::uint64_t moved(Backing backing) const;
  std::uint64_t moved(Mover mover) const;
  std::uint64_t moved() const;
  // Of huge pages (not hugetlb) alone: failures that a mover was told of.
  std::uint64_t thp_refusals() const;

  // A node other than `from`, if there is one.
  int other_node(int from, Random& random) const;

 private:
  // Nodes of some units before and after a call.
  void count(Region& region, std::size_t unit, int before, int after, Mover mover,
             std::uint64_t round);
  void refuse(const Region& region, int status, std::uint64_t pages = 1);
  // A region that `process` may move now; null: none.
  Region* pick(RoleContext& context, int process);
  Result<> move_batch(RoleContext& context, Region& region, int pid);

  std::vector<Region>& regions_;
  Book& book_;
  std::vector<int> nodes_;
  std::map<std::pair<Backing, Mover>, Counter> moved_;
  std::map<std::pair<Backing, std::string>, Counter> refused_;
  Counter unmoved_;   // pages that migrate_pages left behind, of the whole process
  Counter given_up_;  // calls of migrate_pages that ended early
};

}  // namespace mmquake
