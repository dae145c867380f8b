// SPDX-License-Identifier: GPL-2.0-or-later
//
// A campaign in the formats that other programs read. A bug of the kernel and a failure of the
// harness stay apart in each of them.
#pragma once

#include <string>
#include <vector>

#include "host/report/campaign_report.h"

namespace mmquake {

// JUnit XML: a suite a kernel, a case a trial; found is <failure>, broken is <error>, skipped is
// <skipped>. What XML 1.0 cannot hold of a guest's text is replaced by U+FFFD.
std::string campaign_junit(const CampaignReport& report);

// KTAP version 1 (Documentation/dev-tools/ktap.rst): a subtest a kernel; found is "not ok", broken
// is "not ok ... # ERROR", skipped is "ok ... # SKIP".
std::string campaign_ktap(const CampaignReport& report);

// One result of a KTAP document.
struct KtapEntry {
  Outcome verdict = Outcome::kBroken;
  std::string name;
  std::string headline;  // of what is not passed: why
  std::string repeat;    // the command
};
// A document of these, as campaign_ktap() has them in its subtests.
std::string ktap_document(const std::vector<KtapEntry>& entries);

// KCIDB 5.3 (kcidb-io): a checkout and a build a kernel, a test a trial; found is FAIL, broken is
// MISS (the harness failed, the test told nothing), skipped is SKIP. `origin` names the sender:
// lower-case letters, digits and '_'.
std::string campaign_kcidb(const CampaignReport& report, const std::string& origin);

}  // namespace mmquake
