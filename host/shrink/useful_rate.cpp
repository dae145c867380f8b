// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/shrink/useful_rate.h"

#include <cmath>

namespace mmquake {
namespace {

constexpr double kUseful = 0.8;
constexpr double kTooLow = 0.3;
constexpr double kError = 0.05;

}  // namespace

RateTest::RateTest(double useful, double too_low, double error)
    : hit_(std::log(useful / too_low)),
      miss_(std::log((1 - useful) / (1 - too_low))),
      bound_(std::log((1 - error) / error)) {}

void RateTest::feed(bool found) {
  ratio_ += found ? hit_ : miss_;
}

std::optional<bool> RateTest::answer() const {
  if (ratio_ >= bound_) return true;
  if (ratio_ <= -bound_) return false;
  return std::nullopt;
}

void RateMeasure::feed(bool found) {
  ++trials_;
  hits_ += found ? 1 : 0;
}

double RateMeasure::chance() const {
  const auto trials = static_cast<double>(trials_);
  if (is_done()) return static_cast<double>(kHits - 1) / (trials - 1);
  return trials_ == 0 ? 0 : static_cast<double>(hits_) / trials;
}

RateTest test_against(double chance) {
  return {kUseful * chance, kTooLow * chance, kError};
}

}  // namespace mmquake
