// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "guest/protocol/composition.h"
#include "host/cli/debugger.h"
#include "host/cli/session.h"
#include "host/image/payload.h"

namespace mmquake {

struct RunOptions {
  std::string workload;
  std::string kernel = "clean";
  std::string machine = "numa2";
  double seconds = 60;
  std::uint64_t seed = 0;  // 0: drawn, and printed
  int trials = 1;
  std::vector<std::string> params;
  std::vector<std::string> bugs;
  std::vector<std::string> widen;
  std::optional<PayloadSource> payload;  // of the workload `program`
  bool dump = false;                     // a finding leaves the guest's memory
  DebugOptions debug;                    // of the first trial, instead of a verdict
};

// Runs a workload; exit code 0 passed, 1 found, 3 broken, 4 skipped.
int run_workload(const CommonOptions& common, const RunOptions& options);

// What the options ask of the guest, as far as that can be checked here; without a seed.
Result<GuestPlan> guest_plan(const Session& session, const RunOptions& options);

// The command that repeats one trial of it.
std::string run_repeat_command(const CommonOptions& common, const RunOptions& options,
                               std::uint64_t seed);

struct ComposeOptions {
  bool space = false;  // print what there is, draw nothing
  std::uint64_t seed = 1;
  int count = 10;
  std::string machine = "numa2";
  WordChoice only;  // what is drawn
};

// Prints the space of compositions, or draws from it.
int compose(const CommonOptions& common, const ComposeOptions& options);

struct ReproOptions {
  std::string case_name;
  std::string kernel;   // empty: the case's bug kernel and clean kernel; else only this one
  std::string machine;  // empty: the case's
  double seconds = 0;   // 0: the case's
  std::uint64_t seed = 0;
  int trials = 1;
  std::vector<std::string> params;
  std::vector<std::string> bugs;
  // Instead of a case: a program of the user's, and where it is delayed.
  std::optional<PayloadSource> payload;
  std::vector<std::string> widen;
  bool dump = false;   // as of RunOptions
  DebugOptions debug;  // of the first kernel
};

// Runs a program of the user's as a workload; exit codes as of run_workload().
int repro_program(const CommonOptions& common, const ReproOptions& options);

// Runs a case: the bug kernel must find what the case expects, the clean one must pass.
int repro_case(const CommonOptions& common, const ReproOptions& options);

struct ScoreOptions {
  std::vector<std::string> cases;  // empty: all
  std::string kernel;              // not empty: this kernel alone, which must pass them all
  std::string series;              // not empty: on the kernels of this series ("6.12")
  bool no_build = false;           // cases whose kernels are not built are left out
  bool quick = false;              // one trial a side; a bug gets two more chances
  int trials = 10;
  double clean_seconds = 5;  // guest time of each clean trial
  std::uint64_t seed = 0;    // 0: drawn, and printed
};

// Runs cases on both their kernels and prints the table. Exit code 0 when all are good, 1 when a
// bug was missed too often or a clean kernel accused, 3 broken, 4 skipped.
int score_cases(const CommonOptions& common, const ScoreOptions& options);

struct SoakOptions {
  std::string campaign;      // a name or file; may be empty with resume, summary and check
  double seconds = 0;        // host time; 0: the campaign's budget
  std::uint64_t trials = 0;  // 0: the campaign's
  int jobs = 0;              // VMs at a time; 0: as many as this host takes well
  std::uint64_t seed = 0;    // 0: drawn, and printed
  bool resume = false;       // go on with campaign `id`, or with the newest that has not ended
  bool summary = false;      // only print what the store has of it
  bool check = false;        // only look for faults in the store
  std::int64_t id = 0;       // 0: the newest
};

// Runs a campaign, or goes on with one. Exit code 1 when anything was found, else 3 when a trial
// broke or none was run, 4 when all were skipped, 0 clean.
int soak(const CommonOptions& common, const SoakOptions& options);

// Prints cases, workloads with their parameters, kernels with their switches, and machines.
int list_all(const CommonOptions& common);

}  // namespace mmquake
