// SPDX-License-Identifier: GPL-2.0-or-later
//
// Trials as text and JSON. Whatever a guest said is escaped before a person sees it.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "guest/protocol/result.h"
#include "host/campaign/trial.h"

namespace mmquake {

// A trial with what the report says about it.
struct ReportedTrial {
  std::string kernel;  // "6.1.192"
  std::string side;    // "bug put back", "clean", or the kernel's name
  int number = 1;
  int of = 1;  // 0: nobody knows how many there will be
  TrialPlan plan;
  TrialResult result;
};

// A single line of guest text: newlines would break the layout of a table.
std::string one_line(std::string_view text, std::size_t limit = 200);

// "FOUND  ", "passed ", ...: seven columns.
std::string outcome_word(Outcome outcome, bool colour);

// "12,345"
std::string thousands(std::uint64_t n);

// Guest time until the first finding if that is known, else how long the workload ran.
double seconds_until_verdict(const TrialResult& result);

// One line without its indent: "6.1.192  bug put back   FOUND   hang in f   after 3.1 s, ...".
// `colour` adds ANSI colours.
std::string verdict_line(const ReportedTrial& trial, bool colour);

// verdict.json: everything a script needs, under stable names.
nlohmann::json verdict_json(const ReportedTrial& trial);

// Counters named a/b/c as tables, a first; rates per second of `seconds`. Empty when there are
// none.
std::string counter_tables(const Counters& counters, double seconds);

// report.txt: the story of one trial for a person, stacks symbolized from the artifact's vmlinux.
std::string trial_report(const ReportedTrial& trial);

// Writes plan.json, verdict.json, report.txt and the command into the trial's directory.
Result<> write_trial(const ReportedTrial& trial);

// Writes `text` to `path`, by a rename.
Result<> write_file(const std::filesystem::path& path, const std::string& text);

}  // namespace mmquake
