// SPDX-License-Identifier: GPL-2.0-or-later
//
// Made-up histories with a made-up culprit, and searches for it in made-up time.
#pragma once

#include <cstdint>
#include <vector>

#include "host/bisect/graph.h"
#include "host/bisect/search.h"

namespace mmquake::bisect {

struct History {
  CommitGraph graph;
  std::size_t culprit = 0;
  std::vector<bool> untestable;  // never the bad end
  double rate = 1;               // of detection, of one trial on a bad kernel
};

// Of 20 to 2,000 commits (as many of 20 to 200 as of 200 to 2,000), or of `commits`: branches that
// are merged, and in most of them runs of commits that do not build.
History random_history(std::uint64_t seed, double rate, std::size_t commits = 0);

// What a search came to.
struct Outcome {
  bool right = false;      // the culprit is in the answer
  std::size_t answer = 0;  // commits in it
  std::uint32_t trials = 0;
  std::uint32_t builds = 0;
  double seconds = 0;
};

// Ours.
Outcome simulate(const History& history, const SearchSettings& settings, std::uint64_t seed);

// `git bisect` with a script that calls a commit good after `repeats` passes, and bad at the first
// finding. It trusts the bad end and does not try it.
Outcome simulate_git_bisect(const History& history, std::uint32_t repeats, std::uint64_t seed);

}  // namespace mmquake::bisect
