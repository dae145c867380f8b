// SPDX-License-Identifier: GPL-2.0-or-later
//
// A search in the world: builds, runs trials, and writes each result to the journal before it takes
// the next step.
#pragma once

#include <cstdint>
#include <functional>

#include "guest/protocol/result.h"
#include "host/bisect/journal.h"
#include "host/bisect/search.h"
#include "host/bisect/tester.h"

namespace mmquake::bisect {

enum class Stop {
  kEnded,        // as Search::end() says
  kInterrupted,  // should_stop()
  kTrials,       // as many as were allowed
};

class BisectionListener {
 public:
  virtual ~BisectionListener() = default;
  virtual void on_status(const std::string& text) = 0;
  // Each is in the journal, and the search knows it.
  virtual void on_build(std::size_t commit, const BuildResult& build) = 0;
  virtual void on_trial(std::size_t commit, const TrialOutcome& trial) = 0;
};

class Bisection {
 public:
  // What the journal holds is taken in. All references outlive this.
  Bisection(const CommitGraph& graph, SearchSettings settings, Journal& journal,
            KernelTester& tester, BisectionListener& listener);

  // Until it ends, or has had `max_trials` of all runs together (0: no limit).
  Result<Stop> run(std::uint32_t max_trials, const std::function<bool()>& should_stop);

  const Search& search() const { return search_; }

 private:
  Result<> build(const Plan& plan);
  Result<> trial(const Plan& plan);

  Search search_;
  Journal& journal_;
  KernelTester& tester_;
  BisectionListener& listener_;
};

}  // namespace mmquake::bisect
