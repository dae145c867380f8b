// SPDX-License-Identifier: GPL-2.0-or-later
//
// For tests: a campaign with every verdict in it, and a guest that wrote hostile titles.
#pragma once

#include "guest/protocol/composition.h"
#include "host/report/campaign_report.h"

namespace mmquake {

inline StoredTrial stored_trial(std::uint64_t number, const std::string& kernel, Outcome verdict) {
  StoredTrial trial;
  trial.campaign = 3;
  trial.number = number;
  trial.state = TrialState::kEnded;
  trial.attempt = 1;
  trial.item = number % 2 == 0 ? "migrate-verify" : "thp-split";
  trial.workload = trial.item;
  trial.kernel = kernel;
  trial.machine = "numa2";
  trial.seed = 1000 + number;
  trial.verdict = verdict;
  trial.kernel_key = "key-" + kernel;
  trial.kernel_release = "6.1.192";
  trial.started_at = 1.7e9 + 100.0 * static_cast<double>(number);
  trial.ended_at = trial.started_at + 60;
  trial.seconds = 50;
  trial.wall_seconds = 60;
  trial.rounds = 10;
  trial.migrations = 20;
  trial.overlaps = number;
  trial.directory = "/nowhere/trial-" + std::to_string(number);
  trial.repeat = "mmquake run " + trial.item + " --seed " + std::to_string(trial.seed);
  return trial;
}

inline StoredFinding stored_finding(const std::string& title, double seconds) {
  return {title, "warning", "console", "warning|" + title, seconds, 0};
}

inline constexpr const char* kHostileTitle =
    "WARNING in <script>alert(1)</script> & # \"f\" ]]> \x1b[31m \xff";

// Trials 1 to 8: four passed, two found one bug, one broken, one skipped; a ninth still runs.
inline std::vector<StoredTrial> synthetic_trials() {
  std::vector<StoredTrial> trials;
  for (std::uint64_t n = 1; n <= 4; ++n)
    trials.push_back(stored_trial(n, "clean", Outcome::kPassed));
  for (std::uint64_t n = 5; n <= 6; ++n) {
    trials.push_back(stored_trial(n, "specimen", Outcome::kFound));
    trials.back().findings = {stored_finding(kHostileTitle, n == 5 ? 7.5 : 2.5)};
  }
  trials.push_back(stored_trial(7, "specimen", Outcome::kBroken));
  trials.back().reason = "host failure: # no <space>\nmore";
  trials.back().findings = {stored_finding("WARNING in unconfirmed", 1)};
  trials.push_back(stored_trial(8, "clean", Outcome::kSkipped));
  trials.back().reason = "no /dev/ram0";
  trials.push_back(stored_trial(9, "clean", Outcome::kBroken));
  trials.back().state = TrialState::kRunning;
  return trials;
}

// One of the composer's trials.
inline StoredTrial composed_trial(std::uint64_t number, Outcome verdict,
                                  std::map<std::string, std::string> params) {
  StoredTrial trial = stored_trial(number, "clean", verdict);
  trial.item = std::string(kComposeWorkload);
  trial.workload = std::string(kComposeWorkload);
  trial.params = std::move(params);
  return trial;
}

inline StoredCampaign synthetic_campaign() {
  StoredCampaign campaign;
  campaign.id = 3;
  campaign.name = "nightly";
  campaign.seed = 7;
  campaign.started_at = 1.7e9;
  campaign.ended_at = 1.7e9 + 3600;
  return campaign;
}

}  // namespace mmquake
