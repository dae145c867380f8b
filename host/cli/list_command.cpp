// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include "host/cli/commands.h"

namespace mmquake {
namespace {

using nlohmann::json;

Result<json> cases_json(const Session& session) {
  json out = json::array();
  for (const std::string& name : session.catalogue().case_names()) {
    auto spec = session.catalogue().find_case(name);
    if (!spec) return tl::make_unexpected(spec.error());
    out.push_back({{"name", name},
                   {"summary", spec->summary},
                   {"workload", spec->workload},
                   {"machine", spec->machine},
                   {"bug_kernel", spec->bug_kernel},
                   {"bugs", spec->bugs},
                   {"clean_kernel", spec->clean_kernel},
                   {"expect", spec->expect_titles}});
  }
  return out;
}

Result<json> kernels_json(const Session& session) {
  json out = json::array();
  for (const std::string& name : session.catalogue().kernel_names()) {
    auto spec = session.catalogue().kernel(name);
    if (!spec) return tl::make_unexpected(spec.error());
    out.push_back({{"name", name}, {"source", spec->source}, {"bugs", spec->bugs}});
  }
  return out;
}

Result<json> machines_json(const Session& session) {
  json out = json::array();
  for (const std::string& name : session.catalogue().machine_names()) {
    auto spec = session.catalogue().machine(name);
    if (!spec) return tl::make_unexpected(spec.error());
    out.push_back({{"name", name},
                   {"summary", spec->summary},
                   {"nodes", spec->nodes.size()},
                   {"cpus", spec->cpus()},
                   {"memory_mib", spec->memory_mib()}});
  }
  return out;
}

json workloads_json(const Session& session) {
  json out = json::array();
  for (const auto& workload : session.workloads().all()) {
    if (workload.hidden) continue;
    json params = json::array();
    for (const auto& param : workload.params) {
      const bool integer = param.type == WorkloadParam::Type::kInteger;
      params.push_back({{"name", param.name},
                        {"default", param.default_value},
                        {"range", integer ? json({param.min, param.max}) : json(param.choices)},
                        {"help", param.help}});
    }
    out.push_back({{"name", workload.name},
                   {"summary", workload.summary},
                   {"exercises", workload.exercises},
                   {"params", params}});
  }
  return out;
}

void print_workload(const json& workload) {
  fmt::print("  {:<26} {}\n", workload["name"].get<std::string>(),
             workload["summary"].get<std::string>());
  for (const json& param : workload["params"]) {
    const json& range = param["range"];
    const bool integer = !range.empty() && range[0].is_number();
    const std::string values =
        integer ? fmt::format("{} to {}", range[0].dump(), range[1].dump())
                : fmt::format("{}", fmt::join(range.get<std::vector<std::string>>(), "|"));
    fmt::print("    --param {}={} ({}): {}\n", param["name"].get<std::string>(),
               param["default"].get<std::string>(), values, param["help"].get<std::string>());
  }
}

void print_text(const json& all) {
  fmt::print("cases (mmquake repro CASE)\n");
  for (const json& one : all["cases"]) {
    fmt::print("  {:<26} {}\n", one["name"].get<std::string>(), one["summary"].get<std::string>());
  }
  fmt::print("\nworkloads (mmquake run WORKLOAD)\n");
  for (const json& one : all["workloads"]) print_workload(one);
  fmt::print("\nkernels (--kernel)\n");
  for (const json& one : all["kernels"]) {
    const auto bugs = one["bugs"].get<std::vector<std::string>>();
    fmt::print("  {:<26} {}{}\n", one["name"].get<std::string>(), one["source"].get<std::string>(),
               bugs.empty() ? "" : fmt::format(", --bugs {}", fmt::join(bugs, " | ")));
  }
  fmt::print("\nmachines (--machine)\n");
  for (const json& one : all["machines"]) {
    fmt::print("  {:<26} {} ({} nodes, {} CPUs, {} MiB)\n", one["name"].get<std::string>(),
               one["summary"].get<std::string>(), one["nodes"].get<std::size_t>(),
               one["cpus"].get<int>(), one["memory_mib"].get<std::uint64_t>());
  }
  fmt::print("\ncampaigns (mmquake soak CAMPAIGN)\n  {}\n",
             fmt::join(all["campaigns"].get<std::vector<std::string>>(), "\n  "));
}

}  // namespace

int list_all(const CommonOptions& common) {
  auto session = Session::open(common);
  if (!session) return fail(session.error());
  auto cases = cases_json(**session);
  if (!cases) return fail(cases.error());
  auto kernels = kernels_json(**session);
  if (!kernels) return fail(kernels.error());
  auto machines = machines_json(**session);
  if (!machines) return fail(machines.error());
  const json all = {{"cases", *cases},
                    {"workloads", workloads_json(**session)},
                    {"kernels", *kernels},
                    {"machines", *machines},
                    {"campaigns", (*session)->catalogue().campaign_names()}};
  if (common.json) {
    fmt::print("{}\n", all.dump(2));
  } else {
    print_text(all);
  }
  return kExitExpected;
}

}  // namespace mmquake
