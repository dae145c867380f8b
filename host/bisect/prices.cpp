// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/bisect/prices.h"

#include <algorithm>
#include <cmath>

namespace mmquake::bisect {
namespace {

double log_of(std::size_t commits) {
  return std::log2(1.0 + static_cast<double>(commits));
}

// Of a cold build's time: a link and a few files; and what each doubling of the commits adds.
constexpr double kLeast = 0.1;
constexpr double kDoubling = 0.06;

}  // namespace

void Prices::built_cold(double seconds) {
  cold_.add(seconds);
}

void Prices::built_after(double seconds, std::size_t commits) {
  after_.push_back({log_of(commits), seconds});
}

double Prices::Line::at(std::size_t commits) const {
  return std::clamp(start + slope * log_of(commits), 0.0, most);
}

// Through the measurements and two made-up ones, which hold it while there are few.
Prices::Line Prices::line() const {
  double n = 0;
  double sum_x = 0;
  double sum_y = 0;
  double sum_xx = 0;
  double sum_xy = 0;
  const auto add = [&](double x, double y) {
    n += 1;
    sum_x += x;
    sum_y += y;
    sum_xx += x * x;
    sum_xy += x * y;
  };
  for (const double x : {1.0, 10.0}) add(x, cold() * (kLeast + kDoubling * x));
  for (const Build& build : after_) add(build.log_commits, build.seconds);
  Line out;
  out.slope = std::max(0.0, (n * sum_xy - sum_x * sum_y) / (n * sum_xx - sum_x * sum_x));
  out.start = (sum_y - out.slope * sum_x) / n;
  // Where all builds take the same, the first was no slower.
  out.most = cold();
  for (const Build& build : after_) out.most = std::max(out.most, build.seconds);
  return out;
}

}  // namespace mmquake::bisect
