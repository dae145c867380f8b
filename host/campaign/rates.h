// SPDX-License-Identifier: GPL-2.0-or-later
//
// What counts of trials and findings say about rates. Pure arithmetic; docs/statistics.md tells
// what may be concluded from it and what not.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mmquake {

// The confidence of every bound that is printed.
inline constexpr double kConfidence = 0.95;

struct Interval {
  double low = 0;
  double high = 0;
};

// The rate above which, with `confidence`, the true one is not, when `findings` came in `time`, in
// findings per unit of `time`; 0 < confidence < 1. Exact for a Poisson process: half the
// chi-squared quantile with 2(findings + 1) degrees of freedom (Garwood, Biometrika 28, 1936). For
// no findings that is -ln(1 - confidence) / time, at 95 % the rule of three: 3 / time. Infinite
// when `time` is not above 0.
double rate_below(std::uint64_t findings, double time, double confidence = kConfidence);

// The two-sided interval of the same process: each side may be missed with (1 - confidence) / 2.
Interval rate_interval(std::uint64_t findings, double time, double confidence = kConfidence);

// The probability behind `hits` of `trials`, two-sided and exact (Clopper and Pearson, Biometrika
// 26, 1934). [0, 1] without trials.
Interval probability_interval(std::uint64_t hits, std::uint64_t trials,
                              double confidence = kConfidence);

// The smallest value that at least the part `p` of the values does not exceed (nearest rank),
// 0 < p <= 1; 0 when there are none.
double percentile(std::vector<double> values, double p);

// "< 180 findings/h at 95 %": what a pass of `seconds` of guest time excludes; empty without time.
std::string bound_text(double seconds);

}  // namespace mmquake
