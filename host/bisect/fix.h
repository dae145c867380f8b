// SPDX-License-Identifier: GPL-2.0-or-later
//
// Does a patch mend a bug that not every trial shows? Asked as a bisection of two commits: the
// unpatched kernel is the bad end, and the patched one is its parent. The first bad commit is
// either the parent (the patch does not help) or the bad end (it does); both are as likely before
// the first trial.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "host/bisect/search.h"

namespace mmquake::bisect {

inline constexpr std::size_t kPatched = 0;
inline constexpr std::size_t kUnpatched = 1;

// Both are known by their ids "patched" and "unpatched".
CommitGraph fix_graph(const std::string& kernel);

// How often the unpatched kernel must show the bug before the patched one is tried.
inline constexpr std::uint32_t kFoundFirst = 3;
SearchSettings fix_settings(double confidence, const std::string& signature);

enum class FixEnd {
  kFixed,
  kNotFixed,  // the patched kernel shows the same
  kUndecided,
};

struct FixAnswer {
  FixEnd end = FixEnd::kUndecided;
  double chance = 0;   // that it is mended, given the trials
  double by_luck = 0;  // that the patched kernel's trials all pass though nothing is mended
  std::string reason;  // of kUndecided
};
FixAnswer fix_answer(const Search& search);

std::string fix_text(const Search& search);
nlohmann::json fix_json(const Search& search);

}  // namespace mmquake::bisect
