// SPDX-License-Identifier: GPL-2.0-or-later
//
// `mmquake shrink`.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "host/cli/commands.h"

namespace mmquake {

struct ShrinkOptions {
  RunOptions run;         // its trials: the most of one step
  std::string signature;  // of the bug; empty: what is found first
  bool as_is = false;     // takes nothing away
  int proof = 6;          // trials of what is left, and as many of the C file
};

// Is it a trial of the store, "3/12"?
bool is_trial_name(const std::string& word);

// The words behind `mmquake run` that ran this trial of the store, and the signature of its first
// finding, for `options`. An error of kind kUsage: it found nothing, or was no composition.
Result<std::vector<std::string>> words_of_trial(const CommonOptions& common,
                                                const std::string& name,
                                                const std::filesystem::path& store,
                                                ShrinkOptions& options);

// Makes a composition that finds something as small as it goes, and one C file of that; proves
// both. Exit code 0; 1 when the C file finds the bug less than half as often; 4 when nothing was
// found, or when there is no C file of what is left.
int shrink_composition(const CommonOptions& common, const ShrinkOptions& options);

}  // namespace mmquake
