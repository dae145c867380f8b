// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a kernel selftest said of itself, and what its trial comes to with that.
#pragma once

#include <filesystem>
#include <string>

#include "guest/protocol/result.h"
#include "host/campaign/verdict.h"
#include "host/console/ktap.h"

namespace mmquake {

struct SelftestOutput {
  KtapReport ktap;
  std::string tail;  // its last 16 KiB
};

// What the test of a trial printed, from the trial's records (records.jsonl), which the guest sent:
// nothing in them is trusted. The whole text goes to `copy`. `cut`: the guest did not send all.
Result<SelftestOutput> read_selftest_output(const std::filesystem::path& records,
                                            const std::filesystem::path& copy, bool cut);

// `verdict` is what judge() says of log, tasks and exit status. Stricter than kselftest's runner,
// which asks for the exit status alone:
//  - "not ok" lines (SKIP, TODO and XFAIL apart) and "Bail out!" are findings, whatever the exit
//    status; they replace the one that says that it was 1;
//  - a plan that was not fulfilled is one where nothing else was found;
//  - a test that passed and has skipped all that it tried is skipped, with its reason.
// What is broken stays broken. Titles are "COLLECTION:TEST: not ok 3 NAME".
Verdict judge_selftest(Verdict verdict, const std::string& test, const SelftestOutput& output);

}  // namespace mmquake
