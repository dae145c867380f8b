// SPDX-License-Identifier: GPL-2.0-or-later
//
// What one trial in a VM is, whichever kernel it runs on, and what its verdict says to a bisection.
#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "guest/protocol/records.h"
#include "host/bisect/search.h"
#include "host/campaign/trial.h"

namespace mmquake::bisect {

struct VmTrial {
  std::string case_name;  // empty: of no case
  // Of the case: findings of one of these kinds and titles are its bug.
  std::vector<std::string> expect_kinds, expect_titles;
  std::string workload;
  std::map<std::string, std::string> params;
  std::string machine;  // a name, or the absolute path of a file
  double seconds = 0;   // guest time
  std::vector<WidenSite> widen;
  std::vector<std::string> bugs;  // switches of the kernel's patches to put on
  std::string accelerator = "auto";
  std::string connect;  // libvirt URI
};

nlohmann::json to_json(const VmTrial& trial);
// nullopt: it is not what to_json() gives.
std::optional<VmTrial> vm_trial_of(const nlohmann::json& json);

// What names the bug of a trial's case in all of its outcomes: a case may show itself in several
// ways. Empty without a case.
std::string case_signature(const VmTrial& trial);

// What a verdict says about the kernel. `wanted` is the signature that counts as the bug; empty:
// not known yet. Of several findings the one that counts decides, else the first.
//
// A kernel that reports something while it boots cannot be tested. One that is only not heard of is
// broken, as the host may have been too busy. Its time is the caller's to fill in.
TrialOutcome outcome_of(const VmTrial& trial, const TrialResult& result, const std::string& wanted);

}  // namespace mmquake::bisect
