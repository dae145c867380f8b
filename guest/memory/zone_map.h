// SPDX-License-Identifier: GPL-2.0-or-later
//
// Where a page frame lies: its node and zone, and whether it belongs to a CMA area.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "guest/protocol/result.h"

namespace mmquake {

struct PfnRange {
  std::uint64_t begin = 0, end = 0;

  bool holds(std::uint64_t pfn) const { return pfn >= begin && pfn < end; }
  bool operator==(const PfnRange&) const = default;
};

// A zone's span. It may hold holes, and in odd machines pages of another zone.
struct Zone {
  int node = 0;
  std::string name;  // "DMA32", "Normal", "Movable"
  PfnRange pfns;
};

// /proc/zoneinfo. Zones without memory are left out.
class ZoneMap {
 public:
  static Result<ZoneMap> read();
  static Result<ZoneMap> from_zoneinfo(std::string_view text);

  // nullptr: no zone's, or claimed by the spans of several.
  const Zone* zone_of(std::uint64_t pfn) const;
  const std::vector<Zone>& zones() const { return zones_; }

 private:
  std::vector<Zone> zones_;
};

struct CmaArea {
  std::string name;
  PfnRange pfns;
};

// CONFIG_CMA_DEBUGFS. Empty: this kernel has no CMA area, or does not tell.
Result<std::vector<CmaArea>> read_cma_areas(const std::string& root = "/sys/kernel/debug/cma");

}  // namespace mmquake
