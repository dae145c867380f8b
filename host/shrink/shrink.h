// SPDX-License-Identifier: GPL-2.0-or-later
//
// From a trial of a composition that found something to the smallest that finds the same about as
// often. Pure: who runs the trials is the caller's.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "guest/protocol/composition.h"
#include "guest/protocol/result.h"
#include "host/plan/plan.h"
#include "host/shrink/glimpse.h"

namespace mmquake {

// What is run, and can be made smaller.
struct Subject {
  Composition composition;
  std::map<std::string, std::string> params;  // beside the composition's
  std::vector<WidenSite> widen;
  MachineSpec machine;
  double seconds = 0;  // of guest time
};

struct Reduction {
  std::string what;  // "without mlock", "node 0 with 1 CPU", "6 s instead of 30"
  Subject left;
};

// All that takes one thing away, in the order in which it is worth trying: the time first, since a
// shorter trial makes all others cheaper; then roles, or a simpler one in their place, delay sites,
// parameters, nodes and CPUs.
// `defaults` are the parameters' own; `slowest_hit` is how long the slowest trial took to find, 0
// when nobody knows. Two nodes are left, which compose needs.
std::vector<Reduction> reductions(const Subject& subject,
                                  const std::map<std::string, std::string>& defaults,
                                  double slowest_hit);

using RunTrial = std::function<Result<Glimpse>(const Subject& subject)>;

struct ShrinkStep {
  std::string what;
  bool taken = false;  // what was taken away stays away
  std::string why;     // "found in 6 of 6 trials"
};

struct Shrunk {
  Subject smallest;
  double chance = 0;  // of the start, for one trial
  std::uint64_t trials = 0;
  std::vector<ShrinkStep> steps;
};

// Takes away, one after the other, what can go while the bug is still found often enough
// (useful_rate.h): measures the start, then tests each reduction with at most `most` trials, and
// what is not decided by then stays. What was refused is tried again once something else has gone,
// until nothing goes any more. `told` hears of each step. Errors are `run`'s; one of kind kSkipped
// says that the start finds too seldom.
Result<Shrunk> shrink(const Subject& start, const std::map<std::string, std::string>& defaults,
                      std::uint64_t most, const RunTrial& run,
                      const std::function<void(const ShrinkStep&)>& told);

}  // namespace mmquake
