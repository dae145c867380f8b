// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/plan/workloads.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <nlohmann/json.hpp>

#include "guest/protocol/records.h"
#include "host/plan/nearest.h"
#include "host/process/process.h"

namespace mmquake {
namespace {

using nlohmann::json;

// Far beyond what the guest binary takes and says: nobody waits for ever for a wrong file.
constexpr std::chrono::seconds kDescribeDeadline{10};
constexpr std::size_t kMaxDescription = 4 << 20;
constexpr std::string_view kSelfTest = "selftest-";

// Throws json::exception on a field that is missing or of the wrong type.
WorkloadParam param_from(const json& in) {
  WorkloadParam out;
  in.at("name").get_to(out.name);
  const auto type = in.at("type").get<std::string>();
  if (type == "choice") {
    out.type = WorkloadParam::Type::kChoice;
    in.at("choices").get_to(out.choices);
  } else {
    in.at("min").get_to(out.min);
    in.at("max").get_to(out.max);
  }
  const json& fallback = in.at("default");
  out.default_value = fallback.is_string() ? fallback.get<std::string>() : fallback.dump();
  out.help = in.value("help", "");
  return out;
}

WorkloadDescription workload_from(const json& in) {
  WorkloadDescription out;
  in.at("name").get_to(out.name);
  out.summary = in.value("summary", "");
  out.exercises = in.value("exercises", std::vector<std::string>());
  out.hidden = out.name.starts_with(kSelfTest);
  for (const json& param : in.value("params", json::array())) {
    out.params.push_back(param_from(param));
  }
  return out;
}

Result<> check_value(const WorkloadParam& param, const std::string& value) {
  if (param.type == WorkloadParam::Type::kChoice) {
    if (std::find(param.choices.begin(), param.choices.end(), value) != param.choices.end()) {
      return {};
    }
    return usage(fmt::format("parameter '{}' is '{}'; it must be one of {}", param.name,
                             printable(value), fmt::join(param.choices, ", ")));
  }
  std::int64_t number = 0;
  const char* end = value.data() + value.size();
  const auto [stop, error] = std::from_chars(value.data(), end, number);
  if (error == std::errc() && stop == end && number >= param.min && number <= param.max) return {};
  return usage(fmt::format("parameter '{}' is '{}'; it must be an integer from {} to {}",
                           param.name, printable(value), param.min, param.max));
}

}  // namespace

Result<WorkloadCatalogue> WorkloadCatalogue::open(const std::filesystem::path& guest_binary) {
  const std::string command = guest_binary.string() + " --describe";
  const auto deadline = std::chrono::steady_clock::now() + kDescribeDeadline;
  const auto too_late = [&] { return std::chrono::steady_clock::now() > deadline; };
  std::string text;
  const auto keep = [&](std::string_view line) {
    if (text.size() < kMaxDescription) text.append(line).push_back('\n');
  };
  const auto ran = run_command({{guest_binary.string(), "--describe"}, {}, {}}, keep, too_late);
  if (!ran && too_late()) {
    return broken(fmt::format("{} did not end within {} s: build mmquake-guest again", command,
                              kDescribeDeadline.count()));
  }
  if (!ran) return context("ask the guest binary for its workloads", ran.error());
  if (ran->exit_code != 0) {
    return broken(
        fmt::format("{} ended with exit code {}: {}", command, ran->exit_code, ran->output_tail));
  }
  auto parsed = parse(text);
  if (!parsed) return context(command, parsed.error());
  return parsed;
}

Result<WorkloadCatalogue> WorkloadCatalogue::parse(std::string_view text) {
  WorkloadCatalogue out;
  try {
    const json whole = json::parse(text);
    if (whole.at("protocol").get<int>() != kProtocolVersion) {
      return broken(
          fmt::format("the guest speaks protocol {}, this mmquake {}: build both from "
                      "one source",
                      whole.at("protocol").dump(), kProtocolVersion));
    }
    for (const json& workload : whole.at("workloads")) {
      out.all_.push_back(workload_from(workload));
    }
  } catch (const json::exception& error) {
    return broken(
        fmt::format("the list of workloads is not what this mmquake reads ({}): build "
                    "mmquake and mmquake-guest from one source",
                    error.what()));
  }
  std::sort(out.all_.begin(), out.all_.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  return out;
}

Result<WorkloadDescription> WorkloadCatalogue::find(std::string_view name) const {
  std::vector<std::string> known;
  for (const WorkloadDescription& workload : all_) {
    if (workload.name == name) return workload;
    if (!workload.hidden) known.push_back(workload.name);
  }
  return tl::make_unexpected(unknown_name("workload", name, known));
}

Result<> WorkloadCatalogue::check_params(const std::string& workload,
                                         const std::map<std::string, std::string>& params) const {
  const auto found = find(workload);
  if (!found) return tl::make_unexpected(found.error());
  std::vector<std::string> known;
  for (const WorkloadParam& param : found->params) known.push_back(param.name);
  for (const auto& [name, value] : params) {
    const auto param =
        std::find_if(found->params.begin(), found->params.end(),
                     [&, &wanted = name](const auto& p) { return p.name == wanted; });
    if (param == found->params.end()) {
      return context(fmt::format("workload '{}'", workload),
                     unknown_name("parameter", name, known));
    }
    if (auto fits = check_value(*param, value); !fits) {
      return context(fmt::format("workload '{}'", workload), fits.error());
    }
  }
  return {};
}

}  // namespace mmquake
