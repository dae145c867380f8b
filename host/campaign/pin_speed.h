// SPDX-License-Identifier: GPL-2.0-or-later
//
// What `mmquake bench pin` measured: nth_page() against page++, as ratios with their spread. Pure.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "guest/protocol/records.h"
#include "guest/protocol/result.h"

namespace mmquake {

struct Quartiles {
  double low = 0, median = 0, high = 0;
};
// Of at least one value, by nearest rank.
Quartiles quartiles(const std::vector<double>& values);

// One way to pin one kind of page.
struct PinSpeedRow {
  std::string subject;                            // "longterm-1g"
  std::vector<double> nth_page_us, increment_us;  // of each round, both in one boot and by turns
  Quartiles ratio() const;                        // of the rounds' nth_page / increment
};

// Of one kernel.
struct PinSpeedResult {
  std::string kernel;  // "pin-speed-novmemmap"
  std::string model;   // "SPARSEMEM", "SPARSEMEM_VMEMMAP"
  std::vector<PinSpeedRow> rows;
};

// From the counters of the workload pin-speed, "us.SUBJECT.{nth_page,increment}.ROUND". An error if
// a time is missing or 0: the guest is not trusted to have measured.
Result<std::vector<PinSpeedRow>> pin_speed_rows(const Counters& counters);

std::string pin_speed_table(const std::vector<PinSpeedResult>& results);
nlohmann::json pin_speed_json(const std::vector<PinSpeedResult>& results);

}  // namespace mmquake
