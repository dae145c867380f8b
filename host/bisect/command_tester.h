// SPDX-License-Identifier: GPL-2.0-or-later
//
// Trials by a command of the user's, in a checkout of its own.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "host/bisect/tester.h"

namespace mmquake::bisect {

struct CommandPlan {
  std::filesystem::path repository;  // only read
  std::filesystem::path tree;        // the checkout; made if need be
  std::filesystem::path logs;        // folder for what the commands print
  std::string build;                 // for sh -c; may be empty
  std::string run;                   // for sh -c
  std::string good;                  // hash of a commit without the bug
};

// Exit codes are those of `git bisect run`. Of --run: 0 passed, 125 this commit cannot be tested,
// 128 and more ends the bisection, all others found. Of --build: 0 built, 128 and more ends the
// bisection, all others: this commit does not build. When --run ends with 126
// or 127 for the first time, it is tried on a good commit, where a command that cannot be run ends
// like that, too.
//
// Both run in the checkout, with these variables: MMQUAKE_COMMIT (hash), MMQUAKE_REPOSITORY,
// MMQUAKE_TRIAL (counts from 1) and MMQUAKE_SEED (of the trial), MMQUAKE_SIGNATURE (a file that
// does not exist: its first line names what was found, if the command writes one). What a build
// leaves behind that git does not know stays for the next one, as for `git bisect run`.
class CommandTester final : public KernelTester {
 public:
  // `should_stop` ends a command that runs.
  CommandTester(CommandPlan plan, std::function<bool()> should_stop)
      : plan_(std::move(plan)), should_stop_(std::move(should_stop)) {}

  // Makes the checkout: a repository that borrows the objects of the user's. Ends what a killed
  // mmquake left running in it. Nobody else may use it.
  Result<> prepare(const StatusSink& status);

  bool is_ready(const Commit& commit) const override { return ready_ == commit.id; }
  Result<BuildResult> build(const Commit& commit, const StatusSink& status) override;
  Result<TrialOutcome> trial(const Commit& commit, std::uint32_t number, std::uint64_t seed,
                             const StatusSink& status) override;

 private:
  struct Ran {
    int exit_code = 0;
    double seconds = 0;
    std::string last_line;
  };
  Result<> check_out(const std::string& commit);
  Result<> prove_runnable(const Commit& commit, int code, const StatusSink& status);
  Result<> git(const std::vector<std::string>& words);
  Result<Ran> shell(const std::string& command, const Commit& commit, const std::string& name,
                    std::map<std::string, std::string> environment, const StatusSink& status);

  CommandPlan plan_;
  std::function<bool()> should_stop_;
  std::string ready_;  // the commit that is checked out and built
  bool is_runnable_ = false;
};

}  // namespace mmquake::bisect
