// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a trial found, and how that is decided. Pure: no VM, no files.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "guest/protocol/records.h"
#include "host/campaign/starvation.h"
#include "host/console/console.h"

namespace mmquake {

// One thing that is wrong, as the guest's oracle or the kernel's log says.
struct Finding {
  std::string kind;
  std::string title;
  std::string source;  // "oracle" or "console"
  double seconds = 0;  // guest time since the workload started; 0 when unknown
  std::uint64_t round = 0;
  std::map<std::string, std::string> evidence;
  std::string signature = {};  // equal for one bug (host/console/signature.h)
};

// Why the trial loop stopped.
enum class TrialEnd {
  kPoweredOff,    // the guest ended by itself
  kWaits,         // the trial has ended, and the guest waits for another
  kCrashed,       // it panicked
  kHostFailure,   // QEMU or libvirt died
  kNoBoot,        // PID 1 was not heard of within the boot deadline
  kSilent,        // records stopped coming
  kOverran,       // alive, but far beyond its time
  kNoPowerOff,    // it sent its summary, and then did not end
  kConsoleFlood,  // the console passed its limit
  kInterrupted    // the user or a signal stopped it
};

// Everything the judge may look at.
struct Observation {
  TrialEnd end = TrialEnd::kHostFailure;
  std::string host_failure;
  bool widening_asked = false;          // by a site that may not miss
  std::vector<std::string> bugs_asked;  // switches that must be on for a pass to mean anything
  std::optional<Hello> hello;
  std::optional<Summary> summary;
  std::vector<FindingRecord> findings;  // at most kMaxFindings
  std::vector<KernelReport> reports;
  // One for each finding and each report, or none where nobody watched the host.
  std::vector<StallWindow> finding_windows, report_windows;
  StallWindow silence;  // before kSilent
  // Console offset at which the plan was sent: reports before it are not the workload's.
  std::uint64_t workload_console_offset = 0;
  // When the workload started, on the clock of printk; known from the first heartbeat on.
  std::optional<double> workload_uptime_s;
  RecordReader::Stats channel;
  std::string console_tail;
};
inline constexpr std::size_t kMaxFindings = 64;

struct Verdict {
  Outcome outcome = Outcome::kBroken;
  std::string reason;             // for broken and skipped
  std::vector<Finding> findings;  // of a broken trial: what was seen, unconfirmed
};

// The rules, first match wins; docs/architecture.md tells why in this order.
//  1. A host reason (interrupt, QEMU died, console flood without a report) is broken.
//  2. No PID 1 is a boot failure: broken.
//  3. A kernel report from before the workload began, the guest's out-of-memory killer, or the
//     death of PID 1 is broken: the machine or the harness is at fault as far as anybody can tell.
//  4. If all evidence is a matter of time (hangs, RCU stalls, lockups, hung tasks) and the host
//     starved a vCPU in the time before each of them, it is broken: the host was too busy.
//  5. Any oracle finding or kernel report is found.
//  6. A guest that went silent is found (hang) when the NMI caught a CPU outside of idle and no
//     vCPU was starved, else broken.
//  7. No summary, a summary that contradicts the records, no round, a bug switch that is not on,
//     or no effective delay where widening was asked for: broken.
//  8. Else what the summary says.
//
// One finding a bug: of several with one signature the first stays.
Verdict judge(const Observation& seen);

// The signatures again, from logs and stacks as `readable` gives them: symbolized. Of findings that
// now turn out to be one bug the first stays.
void sign(std::vector<Finding>& findings,
          const std::function<std::string(const std::string&)>& readable);

}  // namespace mmquake
