// SPDX-License-Identifier: GPL-2.0-or-later
//
// mmquake bisect-run: one commit's verdict for `git bisect run`.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>

#include "host/bisect/history.h"
#include "host/bisect/repeat.h"
#include "host/campaign/schedule.h"
#include "host/cli/bisect_command.h"
#include "host/cli/interrupt.h"
#include "host/cli/kernel_recipe.h"
#include "host/cli/trial_options.h"
#include "host/cli/vm_world.h"
#include "host/console/console.h"
#include "host/report/report.h"

namespace mmquake {
namespace {

namespace fs = std::filesystem;

constexpr int kExitGood = 0;
constexpr int kExitBad = 1;
constexpr int kExitUntestable = 125;

constexpr const char* kHelp =
    "\nBuilds the kernel of the checkout that it is called in, as it lies there, and runs trials "
    "of "
    "it.\n"
    "The first that finds the bug makes the commit bad; if --trials pass it is good. That is as "
    "far\n"
    "as `git bisect` can go with a bug that not every trial shows: choose enough of them, or take\n"
    "mmquake bisect, which needs no such number.\n"
    "\nExamples:\n"
    "  git bisect start v6.2 v6.1\n"
    "  git bisect run mmquake bisect-run --case uffd-thp-migration --trials 10\n"
    "  git bisect run sh -c 'git apply fix.diff; mmquake bisect-run --workload migrate-verify; "
    "r=$?; "
    "git checkout -q .; exit $r'\n"
    "\nExit codes: 0 good, 1 bad, 125 it does not build, boot or fit, 128 git bisect shall stop: "
    "a\n"
    "wrong option, or the host is broken; 128+n ended by signal n.\n";

struct BisectRunOptions {
  TrialOptions trial;
  std::uint32_t trials = 1;
  std::string signature;
  std::uint64_t seed = 0;
};

// The only kernel that there is.
bisect::Commit checkout() {
  return {"checkout", "", {}};
}

class Lines final : public bisect::BisectionListener {
 public:
  explicit Lines(std::FILE* out) : out_(out), status_(out) {}
  StatusLine& status() { return status_; }

  void on_status(const std::string& text) override { status_.show(text); }
  void on_build(std::size_t, const bisect::BuildResult& build) override {
    print(build.end == bisect::BuildEnd::kSkipped ? "skipped" : "built", build.seconds,
          build.reason);
  }
  void on_trial(std::size_t, const bisect::TrialOutcome& trial) override {
    const char* word = trial.end == bisect::TrialEnd::kFound    ? "found"
                       : trial.end == bisect::TrialEnd::kPassed ? "passed"
                       : trial.end == bisect::TrialEnd::kBroken ? "broken"
                                                                : "skipped";
    print(word, trial.seconds, trial.signature.empty() ? trial.reason : trial.signature);
  }

 private:
  void print(const char* word, double seconds, const std::string& more) {
    std::string line = fmt::format("  {:<8}{:>7.1f} s", word, seconds);
    if (!more.empty()) line += "  " + one_line(more, 300);
    status_.clear();
    fmt::print(out_, "{}\n", escape_for_terminal(line));
    std::fflush(out_);
  }

  std::FILE* out_;
  StatusLine status_;
};

struct Tested {
  bisect::CommitAnswer answer;
  fs::path directory;
  std::uint64_t seed = 0;
};

Result<Tested> test(const CommonOptions& common, const BisectRunOptions& options) {
  auto session = Session::open(common);
  if (!session) return tl::make_unexpected(session.error());
  auto trial = vm_trial(**session, options.trial);
  if (!trial) return tl::make_unexpected(trial.error());
  auto kernel = kernel_like(**session, options.trial);
  if (!kernel) return tl::make_unexpected(kernel.error());
  auto top = bisect::top_of(fs::current_path());
  if (!top) return tl::make_unexpected(top.error());
  kernel->source = "dir:" + top->string();
  auto directory = (*session)->run_directory("bisect-run");
  if (!directory) return tl::make_unexpected(directory.error());
  const fs::path kernels = *directory / "kernels";
  auto recipe = KernelRecipe::keep(*kernel, kernels);
  if (!recipe) return tl::make_unexpected(recipe.error());
  bisect::RepeatSettings settings;
  settings.trials = options.trials;
  settings.signature =
      options.signature.empty() ? bisect::case_signature(*trial) : options.signature;
  settings.seed = options.seed != 0 ? options.seed : trial_seed(std::random_device{}(), 1);
  const auto kernel_of = [&](const bisect::Commit& commit) {
    return recipe->kernel(kernel_name(commit), kernel->source);
  };
  Lines lines((*session)->human());
  auto testing = VmTesting::open(
      common, {*trial, kernels, *directory, kernel_of, [&] { return settings.signature; }},
      lines.status());
  if (!testing) return tl::make_unexpected(testing.error());
  auto answer = bisect::test_commit((*testing)->tester(), checkout(), settings, lines);
  if (!answer) return tl::make_unexpected(answer.error());
  return Tested{std::move(*answer), *directory, settings.seed};
}

const char* word_of(bisect::CommitVerdict verdict) {
  switch (verdict) {
    case bisect::CommitVerdict::kGood:
      return "good";
    case bisect::CommitVerdict::kBad:
      return "bad";
    case bisect::CommitVerdict::kUntestable:
      return "cannot be tested";
    case bisect::CommitVerdict::kBroken:
      return "broken";
  }
  return "?";
}

int exit_code_of(bisect::CommitVerdict verdict) {
  switch (verdict) {
    case bisect::CommitVerdict::kGood:
      return kExitGood;
    case bisect::CommitVerdict::kBad:
      return kExitBad;
    case bisect::CommitVerdict::kUntestable:
      return kExitUntestable;
    case bisect::CommitVerdict::kBroken:
      return kExitStopsGitBisect;
  }
  return kExitStopsGitBisect;
}

int bisect_run(const CommonOptions& common, const BisectRunOptions& options) {
  auto tested = test(common, options);
  if (interrupted()) return interrupted_exit_code();
  if (!tested) {
    // Any lower code would be a verdict.
    fail(tested.error());
    return kExitStopsGitBisect;
  }
  const bisect::CommitAnswer& answer = tested->answer;
  std::FILE* out = common.json ? stderr : stdout;
  const std::string more = answer.signature.empty() ? answer.reason : answer.signature;
  fmt::print(out, "{}{}; {} passed; trials: {}     seed: {}\n", word_of(answer.verdict),
             more.empty() ? "" : ": " + escape_for_terminal(one_line(more, 300)), answer.passed,
             tested->directory.string(), tested->seed);
  if (common.json) {
    const nlohmann::json json = {{"verdict", word_of(answer.verdict)},
                                 {"reason", answer.reason},
                                 {"signature", answer.signature},
                                 {"passed", answer.passed},
                                 {"seed", tested->seed},
                                 {"directory", tested->directory.string()}};
    fmt::print("{}\n", json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
  }
  return exit_code_of(answer.verdict);
}

}  // namespace

void add_bisect_run_command(CLI::App& app, CommonOptions& common, int& code) {
  CLI::App* command = app.add_subcommand(
      "bisect-run", "Is the checked-out kernel good or bad? A command for `git bisect run`");
  command->footer(kHelp);
  auto options = std::make_shared<BisectRunOptions>();
  add_trial_options(*command, options->trial, common);
  command->add_option("--trials", options->trials, "A good kernel passes so many")
      ->check(CLI::Range(1, 10000, "1 to 10000"))
      ->capture_default_str();
  command->add_option("--signature", options->signature,
                      "What counts as the bug (default: what the case expects, or any finding)");
  command->add_option("--seed", options->seed, "Decides the seed of every trial; 0 draws one");
  command->add_flag("--json", common.json,
                    "Print the result as JSON on stdout, the rest on stderr");
  command->add_option("--out", common.out,
                      "Folder for this run's files (default: a new one in the XDG state folder)");
  command->callback([&common, &code, options] { code = bisect_run(common, *options); });
}

}  // namespace mmquake
