// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the searches that run one trial after the other share (shrink, widen search).
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "host/cli/session.h"
#include "host/shrink/glimpse.h"

namespace mmquake {

// How often and how soon some trials of one length found the bug.
struct FoundCount {
  std::uint64_t hits = 0, trials = 0;
  std::vector<double> seconds;  // until it was found

  void add(const Glimpse& seen);
};
// "6 of 6 trials (0.54 to 1.00 at 95 %), after 0.4 s (median)"
std::string count_text(const FoundCount& count);
nlohmann::json count_json(const FoundCount& count);

// Runs the trial and prints its verdict behind `label`. One that broke is run again; three in a row
// are an error. `is_answer`: this broken verdict is an answer nevertheless.
Result<ReportedTrial> run_unbroken(
    Session& session, const std::string& label, const std::function<ReportedTrial()>& next,
    const std::function<bool(const Verdict&)>& is_answer = [](const Verdict&) { return false; });

}  // namespace mmquake
