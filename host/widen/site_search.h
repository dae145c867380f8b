// SPDX-License-Identifier: GPL-2.0-or-later
//
// Where must somebody be held up for a race to be lost more often? Pure: who runs the trials is the
// caller's, and where the kernel was seen is his to say.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "guest/protocol/records.h"
#include "guest/protocol/result.h"
#include "host/shrink/glimpse.h"
#include "host/widen/seen_sites.h"

namespace mmquake {

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

// Sites with which the bug was found, at most `most`: `sites` are delayed in groups of 16,
// drawn anew each time all had their turn; a group that finds is halved until one site is left
// (group testing; Dorfman, Annals of Mathematical Statistics 14, 1943). Where a site is called
// often a smaller part of the calls is delayed, so that a group does not stop the workload. None of
// the answer is proven: a bug that shows without delays shows in any group.
Result<std::vector<SiteArm>> sites_that_find(const SiteSearch& search, std::size_t most,
                                             const TrySites& run,
                                             const std::function<void(const SiteArm&)>& told);

// Half of the trials look for sites that find (sites_that_find()); a sixth for the best one of
// them, or none; a sixth for its best delay; a sixth for a second site, of another side if there is
// one. What does not seem to find more often than what was there before is not taken. The answer's
// counts are those of the search, which has picked what looked best: its rate has to be measured
// anew.
Result<SiteArm> search_sites(const SiteSearch& search, const TrySites& run,
                             const std::function<void(const SiteArm&)>& told);

}  // namespace mmquake
