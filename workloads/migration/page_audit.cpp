// SPDX-License-Identifier: GPL-2.0-or-later
#include "workloads/migration/page_audit.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <map>

#include "guest/runner/memory_tiers.h"

namespace mmquake {
namespace {

constexpr std::size_t kHugePages = kHugePage / kSmallPage;
constexpr std::array<const char*, 6> kBackgroundEvents{
    "compact_migrate_scanned", "compact_isolated", "thp_collapse_alloc",
    "numa_pages_migrated",     "pgscan_kswapd",    "pgscan_direct"};

FindingRecord finding(const char* kind, std::string title, std::string what) {
  FindingRecord record;
  record.kind = kind;
  record.title = std::move(title);
  record.role = "check";
  record.evidence["pages"] = std::move(what);
  return record;
}

std::string describe(const Sight& sight) {
  return fmt::format("{}, unit {}, seen by process {}: move_pages says {}; page map {}; {} page(s)",
                     sight.name, sight.unit, sight.process, status_text(sight.said),
                     describe(sight.entry), sight.pages);
}

// The node of a PFN, if the page map tells it and no two nodes claim it.
std::optional<int> node_of(PageEntry entry, const NodeRanges& ranges) {
  return entry.pfn() == 0 ? std::nullopt : ranges.node_of(entry.pfn());
}

std::optional<FindingRecord> overlap(const std::vector<const Sight*>& by_pfn) {
  for (std::size_t i = 1; i < by_pfn.size(); ++i) {
    const Sight& low = *by_pfn[i - 1];
    const Sight& high = *by_pfn[i];
    if (low.entry.pfn() + low.pages > high.entry.pfn()) {
      return finding("corruption", "two places share one page",
                     describe(low) + "\n" + describe(high));
    }
  }
  return std::nullopt;
}

}  // namespace

std::size_t pages_at(const Region& region, PageEntry entry, const PageFlags* flags) {
  if (!region.is_huge() || flags == nullptr || entry.pfn() == 0) {
    return 1;
  }
  const Result<std::uint64_t> bits = flags->of(entry.pfn());
  const bool huge = bits && has_flag(*bits, kKpfCompoundHead) &&
                    (has_flag(*bits, kKpfThp) || has_flag(*bits, kKpfHuge));
  return huge ? kHugePages : 1;
}

Result<std::vector<Sight>> look_at(const std::vector<Region>& regions, int process, int pid,
                                   const PageFlags* flags) {
  Result<PageMap> map = PageMap::open(pid);
  if (!map) {
    return tl::make_unexpected(map.error());
  }
  std::vector<Sight> sights;
  for (const Region& region : regions) {
    if (!region.seen_by(process) || (process == 0 && region.process() != kAllProcesses)) {
      continue;
    }
    std::vector<std::uintptr_t> addresses(region.units());
    for (std::size_t unit = 0; unit < region.units(); ++unit) {
      addresses[unit] = region.address(unit);
    }
    Result<std::vector<int>> said = nodes_of(pid, addresses);
    if (!said) {
      return tl::make_unexpected(said.error());
    }
    for (std::size_t unit = 0; unit < region.units(); ++unit) {
      Result<PageEntry> entry = map->at(addresses[unit]);
      if (!entry) {
        return tl::make_unexpected(entry.error());
      }
      Sight sight;
      sight.region = region.id();
      sight.unit = unit;
      sight.process = process;
      sight.name = region.name();
      sight.said = (*said)[unit];
      sight.entry = *entry;
      sight.pages = pages_at(region, *entry, flags);
      sights.push_back(std::move(sight));
    }
  }
  return sights;
}

std::optional<FindingRecord> judge_sights(std::vector<Sight> sights, const NodeRanges& ranges) {
  std::erase_if(sights, [](const Sight& sight) { return sight.entry.pfn() == 0; });
  std::map<std::pair<std::uint32_t, std::size_t>, const Sight*> places;
  std::vector<const Sight*> by_pfn;
  for (const Sight& sight : sights) {
    const std::optional<int> node = node_of(sight.entry, ranges);
    if (sight.said >= 0 && node && *node != sight.said) {
      return finding("misplacement", "move_pages and the page map disagree about a page's node",
                     describe(sight) + fmt::format("\nthe PFN lies on node {}", *node));
    }
    const auto [other, is_new] = places.try_emplace({sight.region, sight.unit}, &sight);
    if (is_new) {
      by_pfn.push_back(&sight);
    } else if (other->second->entry.pfn() != sight.entry.pfn()) {
      return finding("corruption", "processes see different pages at one place",
                     describe(*other->second) + "\n" + describe(sight));
    }
  }
  std::sort(by_pfn.begin(), by_pfn.end(),
            [](const Sight* a, const Sight* b) { return a->entry.pfn() < b->entry.pfn(); });
  return overlap(by_pfn);
}

std::optional<FindingRecord> judge_quiet(const std::vector<QuietMove>& moves,
                                         const NodeRanges& ranges) {
  for (const QuietMove& move : moves) {
    if (move.status < 0 || move.said < 0) {
      continue;  // refused, or not mapped here: nothing was promised
    }
    const std::optional<int> node = node_of(move.entry, ranges);
    if (move.said != move.status || (node && *node != move.status)) {
      return finding(
          "misplacement", "a page is not where " + move.by + " put it",
          fmt::format("{}: was on node {}; {} said {}; asked afterwards: {}; page map {}, node {}",
                      move.what, move.before, move.by, status_text(move.status),
                      status_text(move.said), describe(move.entry),
                      node ? std::to_string(*node) : "unknown"));
    }
  }
  return std::nullopt;
}

std::uint64_t background_moves(const KernelCounters& vmstat) {
  std::uint64_t sum = demotions_in(vmstat);
  for (const char* event : kBackgroundEvents) {
    sum += value_of(vmstat, event);
  }
  return sum;
}

}  // namespace mmquake
