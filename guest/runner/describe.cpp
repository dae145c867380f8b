// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/runner/describe.h"

#include <nlohmann/json.hpp>

namespace mmquake {
namespace {

using nlohmann::json;

json describe_needs(const Needs& needs) {
  return {{"numa_nodes", needs.numa_nodes},
          {"cpus", needs.cpus},
          {"free_mib_per_node", needs.free_mib_per_node},
          {"hugetlb_2m_per_node", needs.hugetlb_2m_per_node},
          {"files", needs.files},
          {"userfaultfd", needs.userfaultfd},
          {"thp", needs.thp}};
}

json describe_param(const ParamSpec& spec) {
  json out = {{"name", spec.name}, {"default", spec.default_value}, {"help", spec.help}};
  if (spec.type == ParamSpec::Type::kChoice) {
    out["type"] = "choice";
    out["choices"] = spec.choices;
  } else {
    out["type"] = "integer";
    out["min"] = spec.min;
    out["max"] = spec.max;
  }
  return out;
}

}  // namespace

std::string describe(const Registry& registry) {
  json workloads = json::array();
  for (const auto& [name, entry] : registry.entries()) {
    json params = json::array();
    for (const ParamSpec& spec : entry.info.params) {
      params.push_back(describe_param(spec));
    }
    workloads.push_back({{"name", name},
                         {"summary", entry.info.summary},
                         {"exercises", entry.info.exercises},
                         {"needs", describe_needs(entry.info.needs)},
                         {"params", std::move(params)}});
  }
  const json all = {{"protocol", kProtocolVersion}, {"workloads", std::move(workloads)}};
  return all.dump(2, ' ', false, json::error_handler_t::replace);
}

}  // namespace mmquake
