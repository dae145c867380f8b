// SPDX-License-Identifier: GPL-2.0-or-later
//
// What trials say about which commit brought the bug.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "host/bisect/bits.h"
#include "host/bisect/graph.h"

namespace mmquake::bisect {

// What is believed of the detection rate, the chance that one trial on a bad kernel finds the bug,
// before the first trial. The first parameter below 1 leans to low rates: who overrates the rate
// trusts a pass too soon.
struct BetaPrior {
  double a = 0.1;
  double b = 1;
};

// The chance of each commit to be the culprit, with the unknown detection rate integrated out.
//
// A trial on a commit that holds the culprit finds with the rate r and passes with 1 - r; one on
// any other passes. So with F trials that found (all of them hold the culprit) and S trials that
// passed on commits which hold it, the likelihood is r^F (1-r)^S, and integrated over the Beta
// prior B(a + F, b + S) / B(a, b): exact, and S is all that tells one candidate from another.
class Posterior {
 public:
  // All commits are alike before the first trial. `graph` outlives this.
  explicit Posterior(const CommitGraph& graph, BetaPrior prior = {});

  void found(std::size_t at);
  void passed(std::size_t at);

  // No commit can explain what was found: two that share no candidate have the bug.
  bool is_contradiction() const { return alive_count_ == 0; }

  // Of each commit; their sum is 1 unless it is a contradiction.
  const std::vector<double>& chances() const { return chances_; }
  // The commits that may be the culprit.
  const Bits& alive() const { return alive_; }

  std::uint32_t found_count() const { return found_; }
  // Passes on commits that hold this one.
  std::uint32_t passes(std::size_t at) const { return passes_[at]; }
  std::uint32_t most_passes() const { return most_passes_; }

  // The chance that, if the culprit has `passes`, `trials` more on a bad commit all pass.
  double miss(std::uint32_t passes, std::uint32_t trials) const;

  // The detection rate that is to be expected.
  double rate() const;

 private:
  void weigh();

  const CommitGraph& graph_;
  BetaPrior prior_;
  Bits alive_;
  std::size_t alive_count_;
  std::uint32_t found_ = 0;
  std::uint32_t most_passes_ = 0;
  std::vector<std::uint32_t> passes_;
  std::vector<double> chances_;
};

}  // namespace mmquake::bisect
