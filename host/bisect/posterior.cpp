// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/bisect/posterior.h"

#include <algorithm>
#include <cmath>

namespace mmquake::bisect {

Posterior::Posterior(const CommitGraph& graph, BetaPrior prior)
    : graph_(graph),
      prior_(prior),
      alive_(graph.size()),
      alive_count_(graph.size()),
      passes_(graph.size()),
      chances_(graph.size(), 1.0 / static_cast<double>(graph.size())) {
  for (std::size_t at = 0; at < graph.size(); ++at) alive_.set(at);
}

void Posterior::found(std::size_t at) {
  ++found_;
  Bits held(graph_.size());
  graph_.for_each_held(at, [&](std::size_t one) { held.set(one); });
  alive_ &= held;
  alive_count_ = alive_.count();
  weigh();
}

void Posterior::passed(std::size_t at) {
  graph_.for_each_held(at, [&](std::size_t one) { ++passes_[one]; });
  weigh();
}

// log B(a + F, b + S) differs between candidates by S alone. Its largest value is that of the
// fewest passes, so nothing overflows, and what underflows is nothing.
void Posterior::weigh() {
  most_passes_ = 0;
  std::uint32_t fewest = UINT32_MAX;
  alive_.for_each([&](std::size_t at) {
    most_passes_ = std::max(most_passes_, passes_[at]);
    fewest = std::min(fewest, passes_[at]);
  });
  std::fill(chances_.begin(), chances_.end(), 0.0);
  if (alive_count_ == 0) return;
  // B(a, b + 1) = B(a, b) b / (a + b).
  std::vector<double> weight(most_passes_ - fewest + 1, 1.0);
  double log_weight = 0;
  for (std::uint32_t more = 1; more < weight.size(); ++more) {
    const double b = prior_.b + fewest + more - 1;
    log_weight += std::log(b / (prior_.a + found_ + b));
    weight[more] = std::exp(log_weight);
  }
  double sum = 0;
  alive_.for_each([&](std::size_t at) { sum += weight[passes_[at] - fewest]; });
  alive_.for_each([&](std::size_t at) { chances_[at] = weight[passes_[at] - fewest] / sum; });
}

double Posterior::miss(std::uint32_t passes, std::uint32_t trials) const {
  double out = 1;
  for (std::uint32_t i = 0; i < trials; ++i) {
    const double b = prior_.b + passes + i;
    out *= b / (prior_.a + found_ + b);
  }
  return out;
}

double Posterior::rate() const {
  double out = 0;
  alive_.for_each([&](std::size_t at) { out += chances_[at] * (1 - miss(passes_[at], 1)); });
  return out;
}

}  // namespace mmquake::bisect
