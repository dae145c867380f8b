// SPDX-License-Identifier: GPL-2.0-or-later
//
// A campaign as a person wants it: distinct bugs, what is new, what each kernel did. Pure: rows of
// the store in, numbers out.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "host/report/coverage.h"
#include "host/store/store.h"

namespace mmquake {

// Counts of ended trials. Seconds are guest time of those that passed: what a bound follows from.
struct Tally {
  std::uint64_t trials = 0, passed = 0, found = 0, broken = 0, skipped = 0;
  std::uint64_t rounds = 0, migrations = 0, overlaps = 0;
  double passed_seconds = 0;
};

// One distinct bug of a campaign: every trial that found the same signature.
struct BugEntry {
  std::string id;  // 8 hex digits of the signature's hash: its name on the command line
  std::string signature;
  std::string title;
  std::string kind;
  std::string source;
  bool fresh = false;                    // no earlier campaign of the store saw it
  double first_seen = 0, last_seen = 0;  // seconds since 1970
  std::set<std::string> kernels, items;
  std::vector<std::string> trials;  // "3/12": campaign and number, in their order
  std::vector<double> seconds;      // guest time until it was seen, where that is known
  StoredTrial sample;               // the trial that showed it soonest
};

// Broken trials of one reason.
struct BrokenEntry {
  std::string reason;  // its first line
  std::uint64_t count = 0;
  std::uint64_t first_trial = 0;
};

struct CampaignReport {
  StoredCampaign campaign;
  Tally total;
  std::map<std::string, Tally> kernels;
  std::map<std::pair<std::string, std::string>, Tally> cells;  // kernel, item
  std::vector<BugEntry> bugs;         // new ones first, then the most frequent
  std::vector<BrokenEntry> broken;    // the most frequent first
  std::vector<CoverageMap> coverage;  // what the trials alone tell of it
  std::vector<StoredTrial> trials;    // ended ones, by number
  std::uint64_t open_trials = 0;      // drawn, and not ended
};

// "3/12", the name of a trial on the command line.
std::string trial_name(const StoredTrial& trial);

// The name of a signature: the first 8 hex digits of its XXH3 hash.
std::string bug_id(const std::string& signature);

// The distinct bugs of ended trials, which may come from several campaigns; `earlier` as below.
std::vector<BugEntry> distinct_bugs(const std::vector<StoredTrial>& trials,
                                    const std::set<std::string>& earlier);

// `earlier` holds the signatures of the campaigns before this one.
CampaignReport summarise(StoredCampaign campaign, std::vector<StoredTrial> trials,
                         const std::set<std::string>& earlier);

// One bug for a terminal: where, how often, how soon, and how to see it again.
std::string bug_text(const BugEntry& bug, const std::string& program);

std::string bugs_json(const std::vector<BugEntry>& bugs);

// report.txt of its sample trial, at most 256 KiB; empty when the trial's files are gone.
std::string sample_evidence(const BugEntry& bug);

// "2026-11-26 13:05:59" of seconds since 1970, UTC; "-" of 0.
std::string utc_time(double seconds);

}  // namespace mmquake
