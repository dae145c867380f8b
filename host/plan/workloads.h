// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the guest binary offers, as `mmquake-guest --describe` tells it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "guest/protocol/result.h"

namespace mmquake {

struct WorkloadParam {
  enum class Type { kInteger, kChoice };
  std::string name;
  Type type = Type::kInteger;
  std::string default_value;
  std::int64_t min = 0, max = 0;     // kInteger
  std::vector<std::string> choices;  // kChoice
  std::string help;
};

struct WorkloadDescription {
  std::string name;
  std::string summary;
  std::vector<std::string> exercises;
  bool hidden = false;  // "selftest-...": not in lists, but it can be run
  std::vector<WorkloadParam> params;
};

class WorkloadCatalogue {
 public:
  // Runs `guest_binary --describe`. Broken when it is not there, or is of another build.
  static Result<WorkloadCatalogue> open(const std::filesystem::path& guest_binary);
  // What it printed.
  static Result<WorkloadCatalogue> parse(std::string_view json);

  const std::vector<WorkloadDescription>& all() const { return all_; }  // by name
  // Unknown: an error with the nearest names.
  Result<WorkloadDescription> find(std::string_view name) const;
  // The workload exists and takes each of `params`, in range.
  Result<> check_params(const std::string& workload,
                        const std::map<std::string, std::string>& params) const;

 private:
  std::vector<WorkloadDescription> all_;
};

}  // namespace mmquake
