// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the store knows, for a person or another program: report, bugs, show, replay.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "host/cli/session.h"

namespace mmquake {

struct ReportOptions {
  std::int64_t campaign = 0;  // 0: the last one
  std::string since;          // only trials that ended since then; empty: all
  std::filesystem::path html;
  std::filesystem::path junit;
  std::filesystem::path kcidb;
  std::string origin = "mmquake";  // of KCIDB
  bool ktap = false;
};

// Prints a campaign, or writes it in the formats asked for. Exit code 0 clean, 1 a bug was found,
// 2 there is no such campaign, 3 some trials were broken and nothing was found.
int report_campaign(const CommonOptions& common, const ReportOptions& options);

// Lists the distinct bugs of all campaigns.
int list_bugs(const CommonOptions& common);

// One bug by its id, or the beginning of it.
int show_bug(const CommonOptions& common, const std::string& id);

// The bug as a mail to linux-mm.
int mail_bug(const CommonOptions& common, const std::string& id);

// The trial CAMPAIGN/NUMBER of the store; an error of kind kUsage when there is none that ended.
Result<StoredTrial> trial_named(const CommonOptions& common, const std::string& name);

// Runs a trial again, named CAMPAIGN/NUMBER: becomes the command that its report names, with `more`
// words behind it.
int replay_trial(const CommonOptions& common, const std::string& name,
                 const std::vector<std::string>& more = {});

// "36h", "7d", "90m" before `now`, or a date "2026-11-25" (UTC), as seconds since 1970.
Result<double> parse_since(const std::string& text, double now);

}  // namespace mmquake
