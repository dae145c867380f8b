// SPDX-License-Identifier: GPL-2.0-or-later
//
// The table that answers "can I trust a green run?": each case on the kernel with its bug put
// back, and on the clean one. Pure: no VM, no files.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "guest/protocol/records.h"

namespace mmquake {

// What one trial of a case counts for.
struct ScoredTrial {
  bool as_expected = false;
  Outcome outcome = Outcome::kBroken;
  double seconds = 0;  // guest time until the finding, or of the whole pass
  std::uint64_t rounds = 0;
  // When not as expected: its verdict in a line, and where its report is.
  std::string unexpected = {};
};

struct CaseScore {
  std::string name;
  std::string bug_kernel, clean_kernel;
  std::string skipped;  // why no trial was run; empty: trials tell
  std::vector<ScoredTrial> bug, clean;
  std::string left_out;  // why it was not run; empty: it was
};

// The least part of the bug's trials that must find it.
inline constexpr double kScoreWanted = 0.9;

enum class ScoreResult {
  kGood,     // found in kScoreWanted of the trials or more, and every clean trial passed
  kMissed,   // found in fewer
  kAccused,  // a clean trial found something
  kBroken,   // a trial broke: nothing can be said
  kSkipped,  // the kernel or the machine lacks what it takes
  kLeftOut   // it was not run, as the caller wished
};
std::string_view to_string(ScoreResult result);

// First match wins: left out, broken, accused, skipped, missed, good. `wanted` 0: one hit is
// enough. Without a trial on the bug's side (a kernel alone was asked about) there is nothing to
// miss.
ScoreResult score_of(const CaseScore& score, double wanted = kScoreWanted);

// One line for each case: found k of n and after how long (median, 90th percentile), passed k of n
// over how many rounds, the bound that follows, and the result where it is not good.
std::string score_table(const std::vector<CaseScore>& scores, double wanted = kScoreWanted);
// Its parts, for who prints it as it comes; `width` is that of the longest name.
std::string score_header(std::size_t width);
std::string score_row(const CaseScore& score, std::size_t width, double wanted = kScoreWanted);
nlohmann::json score_json(const std::vector<CaseScore>& scores, double wanted = kScoreWanted);

}  // namespace mmquake
