// SPDX-License-Identifier: GPL-2.0-or-later
//
// The two sides of a case, and one trial of one of them: what `repro` and `score` share.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "host/cli/session.h"

namespace mmquake {

// One kernel of a case, and what it must show.
struct Side {
  std::string label;
  std::string kernel;
  std::vector<std::string> bugs;
  double seconds = 0;  // guest time per trial
  bool must_find = false;
};

// The bug kernel, which must find within `seconds`, and the clean one. 0 takes the case's times.
std::vector<Side> sides_of(const CaseSpec& spec, double bug_seconds, double clean_seconds);

// The case on another series of kernels: each kernel K that it names becomes "K-SERIES". Kind
// kSkipped when there is no such kernel, or when it lacks a switch.
Result<CaseSpec> in_series(const Catalogue& catalogue, CaseSpec spec, const std::string& series);

// "6.12" for a catalogue with the kernel clean-6.12.
std::vector<std::string> series_names(const Catalogue& catalogue);

// Did the trial show what its side must show? The clean side must pass; the bug side must have a
// finding of one of the case's kinds and titles.
bool is_expected(const CaseSpec& spec, const Side& side, const TrialResult& result);

// What the command line may change of a case. Empty: the case's own.
struct CaseOverrides {
  std::string machine;
  std::map<std::string, std::string> params;
};

// The command that repeats one trial of a side.
std::string side_repeat_command(const CommonOptions& common, const CaseSpec& spec, const Side& side,
                                std::uint64_t seed);

// Everything that a trial of this side needs but seed, name and directory. Builds the kernel.
Result<TrialPlan> plan_side(Session& session, const CaseSpec& spec, const Side& side,
                            const CaseOverrides& overrides);

// Where a trial of a side goes, and what it is called.
struct TrialPlace {
  std::filesystem::path directory;
  std::string name;
  std::string repeat_command;
  int number = 1;
  int of = 1;
  std::uint64_t seed = 0;
};
ReportedTrial side_trial(const Side& side, const TrialPlan& plan, const TrialPlace& place);
Result<ReportedTrial> run_side_trial(Session& session, const Side& side, const TrialPlan& plan,
                                     const TrialPlace& place);

}  // namespace mmquake
