// SPDX-License-Identifier: GPL-2.0-or-later
//
// The options of commands that run trials: those of all, and those of bisect, bisect-run and patch
// test that say what one trial in a VM is.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <string>
#include <vector>

#include "host/bisect/vm_trial.h"
#include "host/cli/session.h"

namespace mmquake {

struct TrialOptions {
  std::string case_name;  // this or a workload
  std::string workload;
  std::vector<std::string> params;
  std::string machine;  // empty: the case's, or numa2
  double seconds = 0;   // 0: the case's, or 30
  std::vector<std::string> widen;
  std::vector<std::string> bugs;
  // At most one kernel of the catalogue, and fragments on top of its own.
  std::vector<std::string> kernel_config;
  std::vector<std::filesystem::path> patches;

  bool is_given() const { return !case_name.empty() || !workload.empty(); }
  // Whether any other option is.
  bool has_more() const;
};

// --json.
void add_common(CLI::App& app, CommonOptions& common);
// The same, --accel, --connect and --out: of each command that runs trials and writes about them.
void add_vm_options(CLI::App& app, CommonOptions& common);

// With --accel and --connect.
void add_trial_options(CLI::App& command, TrialOptions& options, CommonOptions& common);

// Usage error without a case or a workload. That the machine fits this host is not asked.
Result<bisect::VmTrial> vm_trial(const Session& session, const TrialOptions& options);

// What kernels of other sources are made like: without --kernel-config the clean kernel of the
// case, or `clean`. With the patches of --with-patch after its own.
Result<KernelSpec> kernel_like(const Session& session, const TrialOptions& options);

}  // namespace mmquake
