// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/runner/params.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>

namespace mmquake {
namespace {

Result<> validate(const WorkloadInfo& info, const ParamSpec& spec, const std::string& value) {
  const std::string where =
      fmt::format("parameter '{}' of workload '{}' is '{}'", spec.name, info.name, value);
  if (spec.type == ParamSpec::Type::kChoice) {
    if (std::find(spec.choices.begin(), spec.choices.end(), value) == spec.choices.end()) {
      return usage(fmt::format("{}; it may be one of: {}", where, fmt::join(spec.choices, ", ")));
    }
    return {};
  }
  std::int64_t number = 0;
  const char* const end = value.data() + value.size();
  const auto [stop, error] = std::from_chars(value.data(), end, number);
  if (error != std::errc() || stop != end || number < spec.min || number > spec.max) {
    return usage(fmt::format("{}; it may be an integer from {} to {}", where, spec.min, spec.max));
  }
  return {};
}

}  // namespace

Result<ParamValues> resolve_params(const WorkloadInfo& info, const ParamValues& given) {
  ParamValues values;
  for (const ParamSpec& spec : info.params) {
    const auto it = given.find(spec.name);
    const std::string& value = it == given.end() ? spec.default_value : it->second;
    if (Result<> valid = validate(info, spec, value); !valid) {
      return tl::make_unexpected(valid.error());
    }
    values[spec.name] = value;
  }
  for (const auto& [name, value] : given) {
    if (values.count(name) == 0) {
      std::vector<std::string> known;
      for (const auto& entry : values) {
        known.push_back(entry.first);
      }
      return usage(fmt::format("workload '{}' has no parameter '{}'; it has: {}", info.name, name,
                               known.empty() ? "none" : fmt::format("{}", fmt::join(known, ", "))));
    }
  }
  return values;
}

}  // namespace mmquake
