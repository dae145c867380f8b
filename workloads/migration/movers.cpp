// SPDX-License-Identifier: GPL-2.0-or-later
#include "workloads/migration/movers.h"

#include <fmt/core.h>

#include <algorithm>
#include <cerrno>

#include "guest/memory/numa.h"

namespace mmquake {
namespace {

// What a round does; enough to keep its other parts small beside it, and few enough to end soon.
constexpr int kCallsPerRound = 4;
constexpr std::size_t kSmallBatch = 64;  // move_pages empties the per-CPU lists once for all of it
constexpr std::size_t kHugeBatch = 4;

constexpr std::array<const char*, 6> kReasons{"EBUSY", "EAGAIN", "absent",
                                              "EIO",   "ENOMEM", "other"};

std::string reason_of(int status) {
  switch (status) {
    case kNotReported:  // a batch that was given up: some page of it could not be moved
    case -EBUSY:
      return "EBUSY";
    case -EAGAIN:
      return "EAGAIN";
    case -ENOENT:
    case -EFAULT:  // the zero page
      return "absent";
    case -EIO:
      return "EIO";
    case -ENOMEM:
      return "ENOMEM";
    default:
      return "other";
  }
}

std::vector<std::uintptr_t> addresses_of(const Region& region, std::size_t first,
                                         std::size_t count) {
  std::vector<std::uintptr_t> addresses(count);
  for (std::size_t i = 0; i < count; ++i) {
    addresses[i] = region.address(first + i);
  }
  return addresses;
}

}  // namespace

std::string_view to_string(Mover mover) {
  switch (mover) {
    case Mover::kMovePages:
      return "move_pages";
    case Mover::kMbind:
      return "mbind";
    case Mover::kMigratePages:
      return "migrate_pages";
  }
  return "?";
}

Movers::Movers(std::vector<Region>& regions, Book& book, const std::vector<int>& nodes,
               Environment& env)
    : regions_(regions), book_(book), nodes_(nodes) {
  for (const Region& region : regions_) {
    const Backing backing = region.backing();
    for (const Mover mover : kAllMovers) {
      moved_[{backing, mover}] =
          env.counter(fmt::format("migrated/{}/{}", to_string(backing), to_string(mover)));
    }
    for (const char* reason : kReasons) {
      refused_[{backing, reason}] =
          env.counter(fmt::format("refused/{}/{}", to_string(backing), reason));
    }
  }
  unmoved_ = env.counter("migrate_pages_left_behind");
  given_up_ = env.counter("migrate_pages_gave_up");
}

int Movers::other_node(int from, Random& random) const {
  const std::size_t start = random.below(nodes_.size());
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    const int node = nodes_[(start + i) % nodes_.size()];
    if (node != from) {
      return node;
    }
  }
  return from;
}

void Movers::count(Region& region, std::size_t unit, int before, int after, Mover mover,
                   std::uint64_t round) {
  UnitBook& book = region.unit(unit);
  // What has been split is no migration of a huge page.
  const bool whole = !region.is_huge() || book.huge.load(std::memory_order_relaxed) != 0;
  int expected = before;
  if (before < 0 || after < 0 || before == after ||
      !book.node.compare_exchange_strong(expected, after)) {
    return;
  }
  book.last_mover.store(static_cast<std::uint32_t>(mover), std::memory_order_relaxed);
  book.last_round.store(round, std::memory_order_relaxed);
  if (whole) {
    moved_.at({region.backing(), mover}).add();
  }
}

void Movers::refuse(const Region& region, int status, std::uint64_t pages) {
  refused_.at({region.backing(), reason_of(status)}).add(pages);
}

Region* Movers::pick(RoleContext& context, int process) {
  const std::size_t start = context.random().below(regions_.size());
  for (std::size_t i = 0; i < regions_.size(); ++i) {
    Region& region = regions_[(start + i) % regions_.size()];
    const bool rebuilding = static_cast<int>(region.id()) == book_.rebuild_region.load();
    if (!rebuilding && (process == kAllProcesses || region.seen_by(process))) {
      return &region;
    }
  }
  return nullptr;
}

Result<> Movers::move_batch(RoleContext& context, Region& region, int pid) {
  const std::size_t count_wanted = region.is_huge() ? kHugeBatch : kSmallBatch;
  const std::size_t batch = std::min(count_wanted, region.units());
  const std::size_t first = context.random().below(region.units() - batch + 1);
  const std::vector<std::uintptr_t> addresses = addresses_of(region, first, batch);
  Result<std::vector<int>> before = nodes_of(pid, addresses);
  if (!before) {
    return tl::make_unexpected(before.error());
  }
  // The pages of a batch go one way, most of the time: a batch ends where the target changes.
  const int common = other_node((*before)[0], context.random());
  std::vector<int> targets(batch, common);
  if (context.random().chance(0.25)) {
    std::transform(before->begin(), before->end(), targets.begin(),
                   [&](int node) { return other_node(node, context.random()); });
  }
  const MoveResult moved = move_pages_to(pid, addresses, targets);
  for (std::size_t i = 0; i < batch; ++i) {
    const int status = moved.status[i];
    if (status < 0) {
      refuse(region, status);
    } else {
      count(region, first + i, (*before)[i], status, Mover::kMovePages, context.round());
    }
  }
  return {};
}

Result<> Movers::move_some(RoleContext& context) {
  for (int i = 0; i < kCallsPerRound && !context.stopping(); ++i) {
    Region* region = pick(context, kAllProcesses);
    if (region == nullptr) {
      return {};
    }
    // A shared page may be named by any process that maps it.
    const std::size_t process = region->process() != kAllProcesses
                                    ? static_cast<std::size_t>(region->process())
                                    : context.random().below(kProcesses);
    const int pid = book_.pids[process].load();
    if (pid != 0) {
      if (Result<> moved = move_batch(context, *region, pid); !moved) {
        return moved;
      }
    }
    context.step();
  }
  return {};
}

Result<> Movers::bind_some(RoleContext& context, int process) {
  for (int i = 0; i < kCallsPerRound && !context.stopping(); ++i) {
    Region* region = pick(context, process);
    if (region == nullptr) {
      return {};
    }
    const std::size_t wanted = region->is_huge() ? kHugeBatch : kSmallBatch;
    const std::size_t batch = std::min(wanted, region->units());
    const std::size_t first = context.random().below(region->units() - batch + 1);
    const std::vector<std::uintptr_t> addresses = addresses_of(*region, first, batch);
    Result<std::vector<int>> before = nodes_of(0, addresses);
    if (!before) {
      return tl::make_unexpected(before.error());
    }
    const int target = other_node((*before)[0], context.random());
    const std::size_t bytes = batch * unit_bytes(region->backing());
    // EIO: some page stayed where it was, since another mover had it. Normal.
    if (const int error = bind_and_move(addresses[0], bytes, target); error != 0) {
      refuse(*region, -error);
    }
    // The policy has done its work, and must not decide where later pages come from.
    if (const int error = unbind(addresses[0], bytes); error != 0) {
      return broken(
          fmt::format("mbind(MPOL_DEFAULT) on {}: {}", region->name(), status_text(-error)));
    }
    Result<std::vector<int>> after = nodes_of(0, addresses);
    if (!after) {
      return tl::make_unexpected(after.error());
    }
    for (std::size_t unit = 0; unit < batch; ++unit) {
      if ((*after)[unit] == target) {
        count(*region, first + unit, (*before)[unit], target, Mover::kMbind, context.round());
      }
    }
    context.step();
  }
  return {};
}

Result<> Movers::migrate_one(RoleContext& context) {
  const int process = 1 + static_cast<int>(context.round() % (kProcesses - 1));
  const int pid = book_.pids[static_cast<std::size_t>(process)].load();
  if (pid == 0) {
    return {};
  }
  const int from = nodes_[context.random().below(nodes_.size())];
  const int to = other_node(from, context.random());
  std::vector<std::uintptr_t> addresses;
  std::vector<std::pair<Region*, std::size_t>> units;
  for (Region& region : regions_) {
    for (std::size_t unit = 0; unit < region.units() && region.seen_by(process); ++unit) {
      addresses.push_back(region.address(unit));
      units.emplace_back(&region, unit);
    }
  }
  Result<std::vector<int>> before = nodes_of(pid, addresses);
  if (!before) {
    return tl::make_unexpected(before.error());
  }
  context.step();
  const long left = migrate_process(pid, from, to);
  if (left == -ENOMEM || left == -EBUSY || left == -EAGAIN) {
    given_up_.add();  // of the kernel's whole walk; what was moved before stays moved
  } else if (left < 0) {
    return broken(fmt::format("migrate_pages(process {}, node {} to {}): {}", process, from, to,
                              status_text(static_cast<int>(left))));
  } else {
    unmoved_.add(static_cast<std::uint64_t>(left));
  }
  context.step();
  Result<std::vector<int>> after = nodes_of(pid, addresses);
  if (!after) {
    return tl::make_unexpected(after.error());
  }
  for (std::size_t i = 0; i < units.size(); ++i) {
    if ((*before)[i] == from && (*after)[i] == to) {
      count(*units[i].first, units[i].second, from, to, Mover::kMigratePages, context.round());
    }
  }
  return {};
}

std::uint64_t Movers::moved(Backing backing, Mover mover) const {
  const auto found = moved_.find({backing, mover});
  return found == moved_.end() ? 0 : found->second.value();
}

std::uint64_t Movers::moved(Backing backing) const {
  std::uint64_t sum = 0;
  for (const Mover mover : kAllMovers) {
    sum += moved(backing, mover);
  }
  return sum;
}

std::uint64_t Movers::moved(Mover mover) const {
  std::uint64_t sum = 0;
  for (const Backing backing : kAllBackings) {
    sum += moved(backing, mover);
  }
  return sum;
}

std::uint64_t Movers::moved() const {
  std::uint64_t sum = 0;
  for (const Mover mover : kAllMovers) {
    sum += moved(mover);
  }
  return sum;
}

std::uint64_t Movers::thp_refusals() const {
  std::uint64_t sum = 0;
  for (const auto& [key, counter] : refused_) {
    if (key.first == Backing::kAnonThp || key.first == Backing::kShmemThp) {
      sum += counter.value();
    }
  }
  return sum;
}

}  // namespace mmquake
