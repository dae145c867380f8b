// SPDX-License-Identifier: GPL-2.0-or-later
//
// The records that guest and host exchange: the only thing they share.
//
// A frame is one line: RS "MMQ1 " XXH32(payload) as 8 hex digits, " ", payload, "\n".
// The payload is JSON without a newline. A reader that meets garbage skips to the next RS or
// newline, so a kernel that prints into the channel costs at most the frame it hits.
// The host trusts nothing in a payload: types are checked, lengths are bounded.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "guest/protocol/result.h"

namespace mmquake {

inline constexpr int kProtocolVersion = 2;
// A longer line is dropped (and counted) before it is complete: bounds the reader's memory.
inline constexpr std::size_t kMaxFrameBytes = std::size_t{256} * 1024;
// What a reader accepts inside of a payload; encode() clips texts so that a frame always fits.
inline constexpr std::size_t kMaxNameBytes = 256;                     // names, states, map keys
inline constexpr std::size_t kMaxTextBytes = std::size_t{64} * 1024;  // reasons, notes, evidence
inline constexpr std::size_t kMaxListEntries = 4096;                  // roles, counters, sites

using Counters = std::map<std::string, std::uint64_t>;

// Before the name of a specimen's bug switch: the counter is there if and only if the switch is on.
inline constexpr std::string_view kBugHits = "bug-hits/";

// First record of a boot; repeated every 200 ms until the plan arrives.
struct Hello {
  int protocol = kProtocolVersion;
  std::string kernel;  // uname -r
  int cpus = 0;        // online
  int nodes = 0;       // online, memory-only ones included
  std::uint64_t memory_mib = 0;
  double uptime_s = 0;        // CLOCK_BOOTTIME when PID 1 started
  double calibration_ms = 0;  // calibrate() in the guest; over the host's it is the slowdown
};

struct RoleProgress {
  std::string name;
  std::uint64_t steps = 0;  // grows while the role makes progress
  std::string state;        // "running", "parked", "hung", "done"
};

// Once a second of guest time.
struct Heartbeat {
  double time_s = 0;    // since the workload started
  double uptime_s = 0;  // at the same moment: CLOCK_MONOTONIC, which printk's timestamps follow
  std::uint64_t round = 0;
  std::vector<RoleProgress> roles;
  Counters counters;
};

struct FindingRecord {
  std::string kind;   // hang, corruption, misplacement, leak, kernel-bug, failure
  std::string title;  // stable: no address, number or pid in it
  std::string role;
  double time_s = 0;
  std::uint64_t round = 0;
  std::map<std::string, std::string> evidence;  // name -> text: stack, pagemap, wchan, ...
};

// What a widener site did, as the module counted it.
struct WidenerCount {
  std::string site;
  std::uint64_t hits = 0;       // probe fired in a task that passes the filter
  std::uint64_t effective = 0;  // delays that ran to their end
  std::uint64_t slept = 0;      // of these, by sleeping (the rest spun)
};

enum class Outcome { kPassed, kFound, kBroken, kSkipped };

// Last record of a trial. The host still compares it with the console before it believes it.
struct Summary {
  Outcome outcome = Outcome::kBroken;
  std::string reason;  // for broken and skipped: what was missing
  double time_s = 0;
  std::uint64_t rounds = 0;
  Counters counters;  // "migrated/anon-thp/move_pages"; '/' makes table columns in the report
  std::vector<WidenerCount> widener;
};

// A line for a person.
struct Note {
  std::string text;
};

// One delay site. `site` is symbol or symbol+0xoffset.
struct WidenSite {
  std::string site;
  std::uint64_t min_us = 0;
  std::uint64_t max_us = 0;   // the delay is drawn evenly from [min_us, max_us]
  double probability = 1.0;   // of a delay when the probe fires
  std::string comm;           // only tasks whose thread name starts with this; empty: all
  std::string mode = "auto";  // auto: sleep where the site allows, else spin; or spin
  bool may_miss = false;      // a trial in which it delayed nobody is not broken for that
};

// Host to guest: what to run. The guest starts no workload before it has this.
struct GuestPlan {
  std::string workload;
  std::map<std::string, std::string> params;
  std::uint64_t seed = 1;
  double seconds = 60;             // guest time budget
  std::uint64_t max_rounds = 0;    // 0: no bound
  std::uint64_t max_findings = 1;  // stop after so many
  double slowdown = 1;             // multiplies every watchdog time
  // Counts the plans of one boot, from 1. After one that has passed the guest says hello again, and
  // runs the next with a higher turn. 0: it powers off.
  std::uint64_t turn = 0;
  std::vector<WidenSite> widen;
};

using Record = std::variant<Hello, Heartbeat, FindingRecord, Summary, Note, GuestPlan>;

// The whole frame with its newline. Invalid UTF-8 in a string is replaced, never an error.
std::string encode(const Record& record);

// The payload alone (what encode frames), for records.jsonl.
std::string to_json(const Record& record);

// A payload that is no known record: the error says which field was wrong.
Result<Record> from_json(std::string_view payload);

std::string_view to_string(Outcome outcome);

// Bytes to records. Holds at most kMaxFrameBytes.
class RecordReader {
 public:
  struct Stats {
    std::uint64_t records = 0;
    std::uint64_t bad_frames = 0;     // a frame whose checksum or payload was wrong
    std::uint64_t garbage_bytes = 0;  // bytes outside of any frame
  };

  std::vector<Record> feed(std::string_view bytes);
  const Stats& stats() const { return stats_; }

 private:
  void take_line(std::vector<Record>& out);

  std::string line_;  // from its RS on; empty: outside of any frame
  Stats stats_;
};

// A fixed amount of integer work, in milliseconds of CLOCK_MONOTONIC. The guest's over the
// host's is the accelerator's slowdown.
double calibrate();

}  // namespace mmquake
