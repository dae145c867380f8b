// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/plan/duration.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>

#include "host/plan/nearest.h"

namespace mmquake {
namespace {

struct Unit {
  char letter;
  std::uint64_t seconds;
};
constexpr std::array<Unit, 4> kUnits = {{{'d', 86400}, {'h', 3600}, {'m', 60}, {'s', 1}}};
constexpr std::uint64_t kMaxSeconds = std::uint64_t{366} * 86400;

}  // namespace

Result<double> parse_duration(std::string_view text) {
  const auto wrong = [&] {
    return usage(fmt::format("'{}' is not a time from 1s to 366d; write 90s, 30m, 8h, 1h30m or 2d",
                             printable(text)));
  };
  std::uint64_t total = 0;
  std::size_t unit = 0;
  std::string_view rest = text;
  while (!rest.empty()) {
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), number);
    if (error != std::errc() || number > kMaxSeconds) return wrong();
    rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
    while (unit < kUnits.size() && (rest.empty() || kUnits.at(unit).letter != rest[0])) ++unit;
    if (unit == kUnits.size()) return wrong();
    total += number * kUnits.at(unit++).seconds;
    rest.remove_prefix(1);
  }
  if (total < 1 || total > kMaxSeconds) return wrong();
  return static_cast<double>(total);
}

std::string duration_text(double seconds) {
  const auto whole = static_cast<std::uint64_t>(std::max(seconds, 0.0));
  for (std::size_t i = 0; i + 1 < kUnits.size(); ++i) {
    const Unit& unit = kUnits.at(i);
    const Unit& next = kUnits.at(i + 1);
    if (whole < unit.seconds) continue;
    return fmt::format("{}{}{:02}{}", whole / unit.seconds, unit.letter,
                       whole % unit.seconds / next.seconds, next.letter);
  }
  return fmt::format("{}s", whole);
}

}  // namespace mmquake
