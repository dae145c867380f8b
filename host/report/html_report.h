// SPDX-License-Identifier: GPL-2.0-or-later
//
// A campaign as HTML for a browser: index.html, and bug-ID.html for each bug. Each page stands
// alone (no network, no other file) and escapes whatever came from a guest.
#pragma once

#include <filesystem>
#include <string>

#include "guest/protocol/result.h"
#include "host/report/campaign_report.h"

namespace mmquake {

std::string campaign_html(const CampaignReport& report);

// `evidence` is the text of the sample trial's report; empty when its files are gone.
std::string bug_html(const CampaignReport& report, const BugEntry& bug,
                     const std::string& evidence);

// Writes all pages into `directory`, which is made. The evidence is read from the trials'
// directories, at most 256 KiB each.
Result<> write_html(const CampaignReport& report, const std::filesystem::path& directory);

}  // namespace mmquake
