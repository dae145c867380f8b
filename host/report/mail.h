// SPDX-License-Identifier: GPL-2.0-or-later
//
// A bug as a mail to linux-mm: plain text that needs nothing but a subject line and a sender.
#pragma once

#include <string>
#include <vector>

#include "host/report/campaign_report.h"
#include "host/store/store.h"

namespace mmquake {

// How often the trials that could have shown it did: those of the items and kernels on which it was
// found, without broken and skipped ones.
struct BugRate {
  std::uint64_t found = 0;
  std::uint64_t trials = 0;
};
BugRate rate_of(const BugEntry& bug, const std::vector<StoredTrial>& trials);

// The mail. `trials` are all that have ended; `evidence` is the sample trial's report.txt, or
// empty. No line has over 75 columns, but those of the evidence and of commands. Guests' text is
// escaped.
std::string mail_text(const BugEntry& bug, const std::vector<StoredTrial>& trials,
                      const std::string& evidence);

}  // namespace mmquake
