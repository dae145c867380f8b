// SPDX-License-Identifier: GPL-2.0-or-later
//
// How often must a trial find the bug for what it runs to be good enough, and who says so when each
// trial is a throw of dice? Pure arithmetic.
#pragma once

#include <cstdint>
#include <optional>

namespace mmquake {

// Wald's sequential probability ratio test (Annals of Mathematical Statistics 16, 1945) between two
// chances of a trial to find: `useful`, and `too_low` below it. It goes on for as long as the
// trials may still be of either. If the true chance is `useful` or more, or `too_low` or less, it
// errs with at most about `error`; between the two either answer is right. A chance of 0 is never
// taken for useful.
class RateTest {
 public:
  // 0 < too_low < useful < 1, 0 < error < 1/2.
  RateTest(double useful, double too_low, double error);

  void feed(bool found);
  // Good enough, or not; nullopt: not yet decided.
  std::optional<bool> answer() const;

 private:
  double hit_, miss_, bound_;
  double ratio_ = 0;  // the logarithm of the likelihoods' ratio
};

// How often the start finds: trials until `kHits` of them did, and then (kHits - 1) / (trials - 1),
// which is unbiased (Haldane, Biometrika 33, 1945); hits / trials for who stops before.
class RateMeasure {
 public:
  static constexpr std::uint64_t kHits = 5;

  void feed(bool found);
  bool is_done() const { return hits_ == kHits; }
  std::uint64_t hits() const { return hits_; }
  std::uint64_t trials() const { return trials_; }
  double chance() const;

 private:
  std::uint64_t hits_ = 0, trials_ = 0;
};

// The test that what is left of a start must pass whose chance is `chance`: useful is what has four
// fifths of it, too low what has three tenths, with an error of 5 %. So what goes on has at least
// half.
RateTest test_against(double chance);

}  // namespace mmquake
