// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "guest/protocol/result.h"
#include "host/bisect/search.h"

namespace mmquake::bisect {

// One line for a person about what goes on now.
using StatusSink = std::function<void(const std::string& text)>;

// What a bisection needs of the world: a kernel (or any program) of a commit, and trials of it. An
// error ends the bisection, which can go on later: what is no news about this commit alone.
class KernelTester {
 public:
  virtual ~KernelTester() = default;
  // Whether trial() may be called for it now, as build() was in this process.
  virtual bool is_ready(const Commit& commit) const = 0;
  virtual Result<BuildResult> build(const Commit& commit, const StatusSink& status) = 0;
  // `number` counts the trials of the bisection; `seed` decides every random choice of this one.
  virtual Result<TrialOutcome> trial(const Commit& commit, std::uint32_t number, std::uint64_t seed,
                                     const StatusSink& status) = 0;
};

}  // namespace mmquake::bisect
