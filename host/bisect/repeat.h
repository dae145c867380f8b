// SPDX-License-Identifier: GPL-2.0-or-later
//
// Trials of one commit until its verdict for `git bisect run` is known.
#pragma once

#include <cstdint>
#include <string>

#include "guest/protocol/result.h"
#include "host/bisect/bisection.h"
#include "host/bisect/tester.h"

namespace mmquake::bisect {

enum class CommitVerdict {
  kGood,        // as many trials passed as were asked for
  kBad,         // one found what counts
  kUntestable,  // it does not build, boot or fit, or shows another bug each time
  kBroken,      // the host's fault each time
};

struct CommitAnswer {
  CommitVerdict verdict = CommitVerdict::kBroken;
  std::string reason;     // of kUntestable and kBroken
  std::string signature;  // of kBad
  std::uint32_t passed = 0;
};

struct RepeatSettings {
  std::uint32_t trials = 1;  // that must pass
  std::string signature;     // what counts as the bug; empty: whatever is found
  std::uint64_t seed = 1;
  SearchSettings limits;  // its broken_limit and foreign_limit count here as well
};

// `listener` hears of everything under commit number 0. An error is no news about the commit: it
// was interrupted, or the host failed.
Result<CommitAnswer> test_commit(KernelTester& tester, const Commit& commit,
                                 const RepeatSettings& settings, BisectionListener& listener);

}  // namespace mmquake::bisect
