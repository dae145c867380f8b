// SPDX-License-Identifier: GPL-2.0-or-later
//
// Which commit to try next: where a second tells most about the culprit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "host/bisect/graph.h"
#include "host/bisect/posterior.h"
#include "host/bisect/prices.h"

namespace mmquake::bisect {

enum class KernelState : std::uint8_t {
  kNew,
  kBuilt,       // its kernel is there, at no price
  kGone,        // it does build, but another took its place
  kUntestable,  // it does not build, boot or fit
};

struct Kernels {
  std::vector<KernelState> state;   // of each commit
  std::optional<std::size_t> last;  // built last: its objects are there
};

struct Plan {
  std::size_t commit = 0;
  std::uint32_t trials = 1;  // it is worth its price with so many, unless one finds the bug
  double bits = 0;           // what they are expected to tell about the culprit
  double seconds = 0;        // what they are expected to take
};

enum class Aim {
  kBitsPerSecond,
  kBits,  // of one trial, at whatever price: only to compare with
};

// nullopt: no trial would tell anything. A plan is to be made anew after each trial.
std::optional<Plan> plan_next(const CommitGraph& graph, const Posterior& posterior,
                              const Prices& prices, const Kernels& kernels,
                              Aim aim = Aim::kBitsPerSecond);

// How many commits differ between two.
std::size_t distance(const CommitGraph& graph, std::size_t a, std::size_t b);

}  // namespace mmquake::bisect
