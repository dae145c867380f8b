// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/campaign/pin_speed.h"

#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>

#include "host/campaign/rates.h"

namespace mmquake {
namespace {

constexpr std::string_view kPrefix = "us.";
constexpr std::string_view kNthPage = "nth_page";
constexpr std::string_view kIncrement = "increment";

struct TimeName {
  std::string subject, way, round;
};

// The parts of "us.SUBJECT.WAY.ROUND"; empty when it is no such name.
TimeName parse(std::string_view name) {
  if (!name.starts_with(kPrefix)) return {};
  name.remove_prefix(kPrefix.size());
  const std::size_t second = name.rfind('.');
  if (second == std::string_view::npos) return {};
  const std::size_t first = name.rfind('.', second - 1);
  if (first == std::string_view::npos || first == 0 || second == 0) return {};
  return {std::string(name.substr(0, first)),
          std::string(name.substr(first + 1, second - first - 1)),
          std::string(name.substr(second + 1))};
}

nlohmann::json quartiles_json(const Quartiles& of) {
  return {{"low", of.low}, {"median", of.median}, {"high", of.high}};
}

}  // namespace

Quartiles quartiles(const std::vector<double>& values) {
  return {percentile(values, 0.25), percentile(values, 0.5), percentile(values, 0.75)};
}

Quartiles PinSpeedRow::ratio() const {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < nth_page_us.size() && i < increment_us.size(); ++i) {
    ratios.push_back(nth_page_us[i] / increment_us[i]);
  }
  return quartiles(ratios);
}

Result<std::vector<PinSpeedRow>> pin_speed_rows(const Counters& counters) {
  // Counters are sorted by name, so that rounds come in order.
  std::map<std::string, PinSpeedRow> rows;
  for (const auto& [name, us] : counters) {
    const TimeName parts = parse(name);
    if (parts.subject.empty()) continue;
    if (us == 0) return broken(fmt::format("the guest measured nothing for '{}'", name));
    PinSpeedRow& row = rows[parts.subject];
    row.subject = parts.subject;
    if (parts.way == kNthPage) row.nth_page_us.push_back(static_cast<double>(us));
    if (parts.way == kIncrement) row.increment_us.push_back(static_cast<double>(us));
  }
  if (rows.empty()) return broken("the guest sent no times");
  std::vector<PinSpeedRow> out;
  for (auto& [subject, row] : rows) {
    if (row.nth_page_us.size() != row.increment_us.size()) {
      return broken(fmt::format("'{}' has {} times by nth_page() and {} by page++", subject,
                                row.nth_page_us.size(), row.increment_us.size()));
    }
    out.push_back(std::move(row));
  }
  return out;
}

std::string pin_speed_table(const std::vector<PinSpeedResult>& results) {
  std::string out = fmt::format("{:<18} {:<13} {:>8} {:>13} {:>13}   {}\n", "memory model", "pin",
                                "rounds", "nth_page()", "page++", "ratio (quartiles)");
  for (const PinSpeedResult& result : results) {
    for (const PinSpeedRow& row : result.rows) {
      const Quartiles ratio = row.ratio();
      out += fmt::format(
          "{:<18} {:<13} {:>8} {:>10.2f} ms {:>10.2f} ms   {:.2f} ({:.2f} to {:.2f})\n",
          result.model, row.subject, row.nth_page_us.size(),
          quartiles(row.nth_page_us).median / 1e3, quartiles(row.increment_us).median / 1e3,
          ratio.median, ratio.low, ratio.high);
    }
  }
  return out;
}

nlohmann::json pin_speed_json(const std::vector<PinSpeedResult>& results) {
  nlohmann::json out = nlohmann::json::array();
  for (const PinSpeedResult& result : results) {
    for (const PinSpeedRow& row : result.rows) {
      out.push_back({{"kernel", result.kernel},
                     {"memory_model", result.model},
                     {"pin", row.subject},
                     {"rounds", row.nth_page_us.size()},
                     {"nth_page_us", row.nth_page_us},
                     {"increment_us", row.increment_us},
                     {"ratio", quartiles_json(row.ratio())}});
    }
  }
  return out;
}

}  // namespace mmquake
