// SPDX-License-Identifier: GPL-2.0-or-later
#include "workloads/pin/placement.h"

#include <fmt/core.h>

#include <algorithm>
#include <atomic>

namespace mmquake {
namespace {

constexpr std::uint64_t kStamp = 0x70696e6e00000000U;

// The node of the largest range.
int node_of_most(const Forbidden& forbidden, const ZoneMap& zones) {
  const auto largest = std::max_element(
      forbidden.ranges.begin(), forbidden.ranges.end(),
      [](const PfnRange& a, const PfnRange& b) { return a.end - a.begin < b.end - b.begin; });
  const Zone* zone = largest == forbidden.ranges.end() ? nullptr : zones.zone_of(largest->begin);
  return zone != nullptr ? zone->node : 0;
}

bool overlap(const PfnRange& a, const PfnRange& b) {
  return a.begin < b.end && b.begin < a.end;
}

}  // namespace

bool Forbidden::holds(std::uint64_t pfn) const {
  return pfn != 0 && std::any_of(ranges.begin(), ranges.end(),
                                 [pfn](const PfnRange& range) { return range.holds(pfn); });
}

Forbidden movable_ranges(const ZoneMap& zones) {
  Forbidden out;
  out.name = "ZONE_MOVABLE";
  for (const Zone& zone : zones.zones()) {
    const bool shared = std::any_of(
        zones.zones().begin(), zones.zones().end(),
        [&zone](const Zone& other) { return &other != &zone && overlap(other.pfns, zone.pfns); });
    if (zone.name == "Movable" && !shared) {
      out.ranges.push_back(zone.pfns);
      out.lists += fmt::format("node {} zone Movable [{:#x}, {:#x})\n", zone.node, zone.pfns.begin,
                               zone.pfns.end);
    }
  }
  out.node = node_of_most(out, zones);
  return out;
}

Result<Forbidden> read_forbidden(const std::string& place) {
  Result<ZoneMap> zones = ZoneMap::read();
  if (!zones) {
    return tl::make_unexpected(zones.error());
  }
  if (place == "movable") {
    Forbidden movable = movable_ranges(*zones);
    if (movable.ranges.empty()) {
      return skipped("the machine has no ZONE_MOVABLE: boot it with movablecore=");
    }
    return movable;
  }
  Result<std::vector<CmaArea>> areas = read_cma_areas();
  if (!areas) {
    return tl::make_unexpected(areas.error());
  }
  Forbidden cma;
  cma.name = "CMA";
  for (const CmaArea& area : *areas) {
    cma.ranges.push_back(area.pfns);
    cma.lists += fmt::format("{} [{:#x}, {:#x})\n", area.name, area.pfns.begin, area.pfns.end);
  }
  if (cma.ranges.empty()) {
    return skipped("no CMA area: boot with hugetlb_cma=, and a kernel with CONFIG_CMA_DEBUGFS");
  }
  cma.node = node_of_most(cma, *zones);
  return cma;
}

std::size_t count_forbidden(const std::vector<PageEntry>& entries, const Forbidden& forbidden) {
  return static_cast<std::size_t>(
      std::count_if(entries.begin(), entries.end(),
                    [&](const PageEntry& entry) { return forbidden.holds(entry.pfn()); }));
}

Placement judge_placement(const std::vector<PageEntry>& before,
                          const std::vector<PageEntry>& pinned, const std::vector<PageEntry>& after,
                          const std::vector<bool>& same, const Forbidden& forbidden) {
  Placement out;
  out.before = count_forbidden(before, forbidden);
  for (std::size_t page = 0; page < pinned.size(); ++page) {
    const bool stays = pinned[page].pfn() == after[page].pfn();
    if (!forbidden.holds(pinned[page].pfn()) || (same[page] && !stays)) {
      continue;
    }
    if (!same[page]) {
      ++out.other_page;
      continue;
    }
    ++out.left;
    if (!out.first_left) {
      out.first_left = page;
      out.first_entry = pinned[page];
    }
  }
  return out;
}

Result<Placement> look_while_pinned(std::uintptr_t address, const std::vector<PageEntry>& before,
                                    DeviceMirror& mirror, const Forbidden& forbidden,
                                    std::size_t enough) {
  Result<PageMap> map = PageMap::open_self();
  if (!map) {
    return tl::make_unexpected(map.error());
  }
  Result<std::vector<PageEntry>> pinned = map->range(address, before.size() * kSmallPage);
  if (!pinned) {
    return tl::make_unexpected(pinned.error());
  }
  std::vector<bool> same(before.size());
  std::size_t found = 0;
  for (std::size_t page = 0; page < pinned->size(); ++page) {
    if (!forbidden.holds((*pinned)[page].pfn())) {
      continue;
    }
    const std::uintptr_t at = address + page * kSmallPage;
    std::atomic_ref(*reinterpret_cast<std::uint64_t*>(at)).store(kStamp + page);
    std::uint64_t seen = 0;
    if (Result<> read = mirror.read(at, &seen, sizeof(seen)); !read) {
      return tl::make_unexpected(read.error());
    }
    same[page] = seen == kStamp + page;
    found += same[page] ? 1 : 0;
    if (found == enough) {
      pinned->resize(page + 1);
    }
  }
  Result<std::vector<PageEntry>> after = map->range(address, before.size() * kSmallPage);
  if (!after) {
    return tl::make_unexpected(after.error());
  }
  return judge_placement(before, *pinned, *after, same, forbidden);
}

}  // namespace mmquake
