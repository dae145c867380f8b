// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/campaign/rates.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/math/special_functions/beta.hpp>
#include <boost/math/special_functions/gamma.hpp>
#include <cmath>
#include <limits>

namespace mmquake {
namespace {

// The number of findings whose Poisson tail up to `findings` has the probability 1 - p.
double poisson_quantile(std::uint64_t findings, double p) {
  return boost::math::gamma_p_inv(static_cast<double>(findings), p);
}

}  // namespace

double rate_below(std::uint64_t findings, double time, double confidence) {
  if (!(time > 0)) return std::numeric_limits<double>::infinity();
  return poisson_quantile(findings + 1, confidence) / time;
}

Interval rate_interval(std::uint64_t findings, double time, double confidence) {
  const double side = (1 - confidence) / 2;
  if (!(time > 0)) return {0, std::numeric_limits<double>::infinity()};
  return {findings == 0 ? 0 : poisson_quantile(findings, side) / time,
          rate_below(findings, time, 1 - side)};
}

Interval probability_interval(std::uint64_t hits, std::uint64_t trials, double confidence) {
  const double side = (1 - confidence) / 2;
  const auto k = static_cast<double>(hits);
  const auto n = static_cast<double>(trials);
  return {hits == 0 ? 0 : boost::math::ibeta_inv(k, n - k + 1, side),
          hits >= trials ? 1 : boost::math::ibeta_inv(k + 1, n - k, 1 - side)};
}

double percentile(std::vector<double> values, double p) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const double rank = std::ceil(p * static_cast<double>(values.size()));
  const auto at = static_cast<std::size_t>(std::max(rank, 1.0)) - 1;
  return values[std::min(at, values.size() - 1)];
}

std::string bound_text(double seconds) {
  if (!(seconds > 0)) return {};
  const double per_hour = rate_below(0, seconds / 3600);
  return fmt::format("< {:.{}f} findings/h at {:.0f} %", per_hour, per_hour < 10 ? 1 : 0,
                     100 * kConfidence);
}

}  // namespace mmquake
