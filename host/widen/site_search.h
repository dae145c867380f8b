// SPDX-License-Identifier: GPL-2.0-or-later
//
// Where must somebody be held up for a race to be lost more often? Pure: who runs the trials is the
// caller's, and where the kernel was seen is his to say.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "guest/protocol/records.h"
#include "guest/protocol/result.h"
#include "host/shrink/glimpse.h"

namespace mmquake {

// The functions of a stack by name, innermost first; empty where nobody knows.
using NamedStack = std::vector<std::string>;

// A function that a side of the race came by.
struct SiteSeen {
  std::string function;
  std::string side;  // how it came into the kernel: "__x64_sys_move_pages", "exc_page_fault"
  std::uint64_t stacks = 0;
};

// What is worth a try, at most `most`: of each side in turn the function that was on most of its
// stacks, each counted by its depth there, since a race is lost deep inside. Left out are sides
// with less than a twentieth of the stacks, entry code, idling, scheduling, kernel threads that
// work for everybody, system calls by which roles wait for each other, locks and other helpers, and
// interrupts with what they run.
std::vector<SiteSeen> sites_seen(const std::vector<NamedStack>& stacks, std::size_t most);

using TrySites = std::function<Result<Glimpse>(const std::vector<WidenSite>&)>;

// What was tried, and how often it found.
struct SiteArm {
  std::vector<WidenSite> sites;  // none: as it is
  std::uint64_t hits = 0, trials = 0;
  bool cannot = false;
  // The mean of its Beta(1/2 + hits, 2 + misses).
  double expected() const;
};

// Which of `arms` finds most often, within `trials` trials: each goes to the arm whose chance,
// drawn from what is known of it, is the highest, or by half to the next one (top-two Thompson
// sampling; Thompson, Biometrika 25, 1933; Russo, Operations Research 68, 2020). So little is spent
// on what never finds. The arms come back, the best first; those that cannot be tried last. `told`
// hears of each trial.
Result<std::vector<SiteArm>> best_arms(std::vector<SiteArm> arms, std::uint64_t trials,
                                       std::uint64_t seed, const TrySites& run,
                                       const std::function<void(const SiteArm&)>& told);

struct SiteSearch {
  std::vector<SiteSeen> sites;
  std::uint64_t trials = 80;  // in all
  std::uint64_t seed = 1;
};

// Half of the trials look for the best site, with a delay of middling length; a quarter for its
// best delay; a quarter for a second site, of another side if there is one. What does not seem to
// find more often than what was there before is not taken. The answer's counts are those of the
// search, which has picked what looked best: its rate has to be measured anew.
Result<SiteArm> search_sites(const SiteSearch& search, const TrySites& run,
                             const std::function<void(const SiteArm&)>& told);

}  // namespace mmquake
