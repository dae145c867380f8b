// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/report/html_plots.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace mmquake {
namespace {

constexpr double kWidth = 800;
constexpr double kLeft = 90;
constexpr double kRight = kWidth - 20;

std::string open_svg(double height, const std::string& what) {
  return fmt::format("<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">\n", kWidth, height,
                     what);
}

std::string line(double x1, double y1, double x2, double y2) {
  return fmt::format(
      "<line class=\"axis\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>\n", x1, y1,
      x2, y2);
}

std::string label(double x, double y, const char* anchor, const std::string& text) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n", x, y, anchor,
                     text);
}

std::string dot(double x, double y, const std::string& css_class, const std::string& title) {
  return fmt::format(
      "<circle class=\"dot {}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3.5\"><title>{}</title></circle>\n",
      css_class, x, y, title);
}

}  // namespace

std::string dot_rows_svg(const std::vector<DotRow>& rows, const std::string& unit) {
  double low = INFINITY;
  double high = 0;
  for (const DotRow& row : rows) {
    for (const double value : row.values) {
      low = std::min(low, value);
      high = std::max(high, value);
    }
  }
  if (high <= 0) return "";
  // Whole decades around the values.
  const double first = std::floor(std::log10(low));
  const double last = std::max(std::ceil(std::log10(high)), first + 1);
  const auto x_of = [&](double value) {
    return kLeft + (std::log10(value) - first) / (last - first) * (kRight - kLeft);
  };
  constexpr double kRow = 22;
  const double bottom = 10 + kRow * static_cast<double>(rows.size());
  std::string out = open_svg(bottom + 25, "time to detect");
  for (double decade = first; decade <= last; decade += 1) {
    const double x = x_of(std::pow(10, decade));
    out += line(x, 5, x, bottom);
    out += label(x, bottom + 16, "middle", fmt::format("{:g} {}", std::pow(10, decade), unit));
  }
  double y = 10 + kRow / 2;
  for (const DotRow& row : rows) {
    out += label(kLeft - 8, y + 4, "end", row.label);
    for (const double value : row.values) {
      out += dot(x_of(value), y, "found", fmt::format("{:.1f} {}", value, unit));
    }
    y += kRow;
  }
  return out + "</svg>";
}

std::string scatter_svg(const std::vector<Dot>& dots, const std::string& x_name,
                        const std::string& y_name) {
  if (dots.empty()) return "";
  double x_max = 0;
  double y_max = 0;
  for (const Dot& one : dots) {
    x_max = std::max(x_max, one.x);
    y_max = std::max(y_max, one.y);
  }
  if (x_max <= 0 || y_max <= 0) return "";
  constexpr double kTop = 15;
  constexpr double kBottom = 200;
  std::string out = open_svg(kBottom + 40, y_name + " by " + x_name);
  out += line(kLeft, kBottom, kRight, kBottom) + line(kLeft, kTop, kLeft, kBottom);
  out += label(kLeft - 8, kTop + 4, "end", fmt::format("{:g}", y_max));
  out += label(kLeft - 8, kBottom + 4, "end", "0");
  out += label(kLeft - 8, (kTop + kBottom) / 2, "end", y_name);
  out += label(kRight, kBottom + 18, "end", fmt::format("{} {:g}", x_name, x_max));
  constexpr std::size_t kMaxDots = 2000;
  const std::size_t step = dots.size() / kMaxDots + 1;
  for (std::size_t i = 0; i < dots.size(); ++i) {
    const Dot& one = dots[i];
    if (i % step != 0 && one.css_class == "passed") continue;
    out += dot(kLeft + one.x / x_max * (kRight - kLeft), kBottom - one.y / y_max * (kBottom - kTop),
               one.css_class, fmt::format("{} {:g}: {:g} {}", x_name, one.x, one.y, y_name));
  }
  return out + "</svg>";
}

}  // namespace mmquake
