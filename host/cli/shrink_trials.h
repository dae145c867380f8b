// SPDX-License-Identifier: GPL-2.0-or-later
//
// The trials of a shrink: what is left of a composition, and the C file that is made of it, on the
// same kernel and with the same delays.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "host/cli/commands.h"
#include "host/cli/counted_trials.h"
#include "host/shrink/shrink.h"

namespace mmquake {

class ShrinkTrials {
 public:
  // `signature`: of the bug that is looked for; empty: what the first trial finds.
  ShrinkTrials(Session& session, RunOptions options, std::filesystem::path root,
               std::string signature);

  // Gets the kernel, and says what is run at the start. An error of kind kUsage: no composition.
  Result<Subject> prepare();

  // One trial. One that broke is run again; three in a row are an error.
  Result<Glimpse> run(const Subject& subject);
  // The same for a C file that was made of `subject`.
  Result<Glimpse> run_c(const Subject& subject, const std::filesystem::path& file);

  // The command that runs it. A machine that no file describes gets one beside the trials.
  Result<std::string> command(const Subject& subject);
  // The same for who reads the C file: no path of this host.
  Result<std::string> command_elsewhere(const Subject& subject);
  Result<std::string> c_command(const Subject& subject, const std::filesystem::path& file);

  // Of the first finding that was the bug; empty before.
  const std::string& title() const { return title_; }
  const std::string& signature() const { return signature_; }
  const std::string& kernel() const { return kernel_; }
  bool in_log() const { return in_log_; }
  // Of findings that were not it.
  const std::map<std::string, int>& other_titles() const { return others_; }

 private:
  ReportedTrial next_trial(const TrialPlan& plan);
  TrialPlan plan_of(const TrialPlan& base, const Subject& subject) const;
  bool is_bug(const Finding& finding, bool of_c_file);
  Glimpse judge(const ReportedTrial& trial, bool of_c_file);
  Result<RunOptions> options_of(const Subject& subject);
  Result<RunOptions> composition_options(const Subject& subject);

  Session& session_;
  RunOptions options_;
  std::filesystem::path root_;
  TrialPlan plan_;
  std::optional<TrialPlan> c_plan_;
  std::map<std::string, std::string> machines_;  // what --machine takes, by the file's text
  std::map<std::string, int> others_;
  std::string signature_, title_, kernel_;
  bool in_log_ = false;
  int count_ = 0;
};

}  // namespace mmquake
