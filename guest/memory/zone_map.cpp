// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/memory/zone_map.h"

#include <fmt/core.h>

#include <filesystem>
#include <optional>

#include "guest/memory/text_file.h"

namespace mmquake {
namespace {

Result<Zone> parse_heading(std::string_view line, std::string_view rest) {
  std::string_view number = next_word(rest);
  if (!number.empty() && number.back() == ',') number.remove_suffix(1);
  const auto node = to_number(number);
  if (!node) return broken(fmt::format("/proc/zoneinfo: no node in '{}'", line));
  Zone zone;
  zone.node = static_cast<int>(*node);
  next_word(rest);  // "zone"
  zone.name = next_word(rest);
  return zone;
}

Result<std::uint64_t> read_number(const std::filesystem::path& path) {
  auto text = read_text(path.string());
  if (!text) return tl::make_unexpected(text.error());
  std::string_view rest = *text;
  const auto line = next_line(rest);
  const auto value = to_number(line.value_or(""));
  if (!value) return broken(fmt::format("{}: '{}' is no number", path.string(), *text));
  return *value;
}

}  // namespace

Result<ZoneMap> ZoneMap::read() {
  auto text = read_text("/proc/zoneinfo");
  if (!text) return tl::make_unexpected(text.error());
  return from_zoneinfo(*text);
}

// "Node 0, zone   Normal" ... "        spanned  262144" ... "  start_pfn:           1048576".
Result<ZoneMap> ZoneMap::from_zoneinfo(std::string_view text) {
  ZoneMap map;
  std::optional<Zone> zone;
  std::uint64_t spanned = 0;
  while (auto line = next_line(text)) {
    std::string_view rest = *line;
    const std::string_view word = next_word(rest);
    if (word == "Node") {
      auto heading = parse_heading(*line, rest);
      if (!heading) return tl::make_unexpected(heading.error());
      zone = std::move(*heading);
      spanned = 0;
    } else if (zone && (word == "spanned" || word == "start_pfn:")) {
      const auto value = to_number(next_word(rest));
      if (!value) return broken(fmt::format("/proc/zoneinfo: no number in '{}'", *line));
      if (word == "spanned") {
        spanned = *value;
        continue;
      }
      zone->pfns = {*value, *value + spanned};
      if (spanned > 0) map.zones_.push_back(*zone);
      zone.reset();
    }
  }
  if (map.zones_.empty()) return broken("/proc/zoneinfo: no zone with a start_pfn");
  return map;
}

const Zone* ZoneMap::zone_of(std::uint64_t pfn) const {
  const Zone* found = nullptr;
  for (const Zone& zone : zones_) {
    if (!zone.pfns.holds(pfn)) continue;
    if (found != nullptr) return nullptr;
    found = &zone;
  }
  return found;
}

Result<std::vector<CmaArea>> read_cma_areas(const std::string& root) {
  std::vector<CmaArea> areas;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(root, error)) {
    auto base = read_number(entry.path() / "base_pfn");
    if (!base) return tl::make_unexpected(base.error());
    auto count = read_number(entry.path() / "count");
    if (!count) return tl::make_unexpected(count.error());
    areas.push_back({entry.path().filename().string(), {*base, *base + *count}});
  }
  if (error && error != std::errc::no_such_file_or_directory)
    return broken(fmt::format("read {}: {}", root, error.message()));
  return areas;
}

}  // namespace mmquake
