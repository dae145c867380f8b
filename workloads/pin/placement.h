// SPDX-License-Identifier: GPL-2.0-or-later
//
// The oracle about where pinned pages lie: no page that is pinned for long may be in ZONE_MOVABLE
// or in a CMA area, or that memory can never be taken offline or given to its contiguous owner.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "guest/device/device_mirror.h"
#include "guest/memory/page_map.h"
#include "guest/memory/zone_map.h"

namespace mmquake {

// Where no page may be pinned for long.
struct Forbidden {
  std::string name;   // "ZONE_MOVABLE", "CMA"
  std::string lists;  // its ranges, for evidence
  std::vector<PfnRange> ranges;
  int node = 0;  // the one that has most of it

  bool holds(std::uint64_t pfn) const;
};

// "movable" or "cma". An error of kind kSkipped: this machine has none of it.
Result<Forbidden> read_forbidden(const std::string& place);
// Zone Movable of a zoneinfo. Ranges that another zone's span overlaps are left out.
Forbidden movable_ranges(const ZoneMap& zones);

// What became of a range's pages.
struct Placement {
  std::size_t before = 0;      // lay in forbidden memory before the pin
  std::size_t left = 0;        // pinned, and lie there still
  std::size_t other_page = 0;  // mapped there, but the holder has another page: not pinned
  std::optional<std::size_t> first_left;
  PageEntry first_entry;  // that page's, while it is pinned
};

// Pages in forbidden memory before a pin.
std::size_t count_forbidden(const std::vector<PageEntry>& entries, const Forbidden& forbidden);

// The pages of `entries` (as they were before), seen while `mirror` holds them. For each page that
// lies in forbidden memory, this writes a stamp through the process's mapping and wants to see it
// through the device: only then is the mapped page the pinned one. A page that is mapped elsewhere
// afterwards is not counted. Stops at the page that is the `enough`th of which the device saw it:
// each look is an operation of the device.
Result<Placement> look_while_pinned(std::uintptr_t address, const std::vector<PageEntry>& before,
                                    DeviceMirror& mirror, const Forbidden& forbidden,
                                    std::size_t enough = SIZE_MAX);

// The same judgement on values. `same[i]`: the device saw the stamp of page i.
Placement judge_placement(const std::vector<PageEntry>& before,
                          const std::vector<PageEntry>& pinned, const std::vector<PageEntry>& after,
                          const std::vector<bool>& same, const Forbidden& forbidden);

}  // namespace mmquake
