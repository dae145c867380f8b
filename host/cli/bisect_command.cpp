// SPDX-License-Identifier: GPL-2.0-or-later
//
// mmquake bisect: which commit brought a bug that not every trial shows.
#include "host/cli/bisect_command.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <system_error>

#include "host/bisect/answer.h"
#include "host/bisect/bisection.h"
#include "host/bisect/command_tester.h"
#include "host/campaign/schedule.h"
#include "host/cli/bisect_speaker.h"
#include "host/cli/interrupt.h"
#include "host/cli/kernel_recipe.h"
#include "host/cli/status_line.h"
#include "host/cli/trial_options.h"
#include "host/cli/vm_world.h"
#include "host/console/console.h"
#include "host/kernel/files.h"
#include "host/kernel/patching.h"
#include "host/kernel/reporter.h"
#include "host/kernel/tree_lock.h"
#include "host/plan/directories.h"

namespace mmquake {
namespace {

namespace fs = std::filesystem;

constexpr const char* kHelp =
    "\nA bad commit may pass: mmquake learns how often one trial shows the bug, and keeps a "
    "chance\n"
    "for every commit between --good and --bad, merges included. It tries next what tells most in\n"
    "a second, builds included, and stops when one commit has the wanted chance. Commits that do\n"
    "not build are left out; if that leaves several that cannot be told apart, it names them all.\n"
    "\nThe command of --run is one trial. It is run by sh in a checkout of the commit (your\n"
    "repository is only read) and ends as for `git bisect run`: 0 passed; 125 this commit cannot\n"
    "be tested; 128 and more ends the bisection; all others found. It sees MMQUAKE_COMMIT,\n"
    "MMQUAKE_TRIAL, MMQUAKE_SEED, MMQUAKE_REPOSITORY, and MMQUAKE_SIGNATURE: a file into which it\n"
    "may write a line that names what it found. Only the signature that the bad end shows first\n"
    "(or --signature) counts as the bug; others are told, and are no votes.\n"
    "--build is run once before the trials of a commit; if it fails the commit is left out.\n"
    "\nEvery result is on disk before the next step: whatever ends it, --resume goes on.\n"
    "\nWith --case or --workload one trial is a VM that runs it on the commit's kernel.\n"
    "Kernels are built one after the other in a tree of mmquake's cache, so that only what\n"
    "differs is compiled, and stay there. Of a --case the bug is whatever the case expects; its\n"
    "bug switch is not put on. A commit that does not build, boot or take a --with-patch is left\n"
    "out.\n"
    "\nExamples:\n"
    "  mmquake bisect --repo ~/linux --good v6.1 --bad v6.2 --case uffd-thp-migration\n"
    "  mmquake bisect --good v6.1 --bad v6.2 --workload migrate-verify --param backing=anon-thp\n"
    "  mmquake bisect --repo ~/linux --good v6.1 --bad v6.2 --build 'make -j8' --run ./test.sh\n"
    "  mmquake bisect --good HEAD~50 --bad HEAD --run 'make -s test' --confidence 0.99\n"
    "  mmquake bisect --resume                 go on with the newest that has not ended\n"
    "  mmquake bisect --resume DIR --max-trials 500\n"
    "\nExit codes: 0 settled, 1 not settled, 2 usage, 3 broken, 4 the bad end cannot be tested,\n"
    "128+n ended by signal n (Ctrl-C prints how to go on).\n";

struct BisectOptions {
  fs::path repository = ".";
  std::vector<std::string> good;
  std::string bad;
  std::string build;
  std::string run;
  TrialOptions trial;  // instead of the commands
  std::string signature;
  double confidence = 0;  // 0: as before, or 0.95
  std::uint32_t max_trials = 0;
  std::uint64_t seed = 0;
  bool resume = false;
  fs::path directory;  // of --resume; empty: the newest
};

// What a bisection keeps in its folder.
struct Files {
  fs::path directory;
  fs::path journal() const { return directory / "journal.jsonl"; }
  fs::path log() const { return directory / "git-bisect.log"; }
  fs::path text() const { return directory / "result.txt"; }
  // There when it has ended.
  fs::path json() const { return directory / "result.json"; }
  fs::path lock() const { return directory / "lock"; }
  fs::path logs() const { return directory / "trials"; }
  // How the kernels of a bisection with VMs are made.
  fs::path recipe() const { return directory / "kernels"; }
  // The checkout is as large as what is built in it, and may go at any time.
  fs::path tree() const {
    return cache_dir() / "bisect" /
           fmt::format("{}-{}", directory.filename().string(),
                       kernel::hash_of(directory.string()).substr(0, 8));
  }
};

fs::path root_of(const CommonOptions& common) {
  return common.out.empty() ? state_dir() / "bisect" : fs::absolute(common.out);
}

Result<Files> newest(const CommonOptions& common) {
  const fs::path root = root_of(common);
  std::vector<fs::path> open;
  std::error_code error;
  for (fs::directory_iterator at(root, error), end; !error && at != end; at.increment(error)) {
    const Files files{at->path()};
    std::error_code ignored;  // what cannot be looked at is none
    if (fs::file_size(files.journal(), ignored) == 0 || ignored) continue;
    if (!fs::exists(files.json(), ignored)) open.push_back(at->path());
  }
  // Their names begin with the time.
  if (!open.empty()) return Files{*std::max_element(open.begin(), open.end())};
  return usage("no bisection in " + root.string() +
               " waits to go on; see mmquake bisect --help for how to start one");
}

// "8 % 2df048c554a8"
std::string likeliest(const bisect::Search& search) {
  if (search.groups().empty()) return "";
  const bisect::Group& best = search.groups().front();
  return fmt::format("{:.0f} % {}", 100 * best.chance,
                     search.graph().commit(best.commits.front()).id.substr(0, 12));
}

class Run {
 public:
  Run(const CommonOptions& common, Files files, kernel::TreeLock lock, bisect::Journal journal)
      : common_(common),
        files_(std::move(files)),
        lock_(std::move(lock)),
        journal_(std::move(journal)),
        out_(common.json ? stderr : stdout) {}

  Result<int> go(const BisectOptions& options) {
    const bisect::Question question = bisect::question_of(journal_.records());
    auto graph = bisect::read_history(question.range, interrupted);
    if (!graph) return tl::make_unexpected(graph.error());
    fmt::print(out_, "{} commits between good and bad; {}\n", graph->size(),
               files_.directory.string());
    std::fflush(out_);
    return question.vm ? with_vms(question, *graph, options.max_trials)
                       : with_commands(question, *graph, options.max_trials);
  }

 private:
  static bisect::SearchSettings settings_of(const bisect::Question& question) {
    bisect::SearchSettings settings;
    settings.confidence = question.confidence;
    settings.signature = question.signature;
    settings.keeps_kernels = question.vm.has_value();
    return settings;
  }

  Result<int> with_commands(const bisect::Question& question, const bisect::CommitGraph& graph,
                            std::uint32_t max_trials) {
    bisect::CommandTester tester({question.range.repository, files_.tree(), files_.logs(),
                                  question.build, question.run, question.range.good[0].id},
                                 interrupted);
    Result<bisect::Stop> stop = bisect::Stop::kInterrupted;
    Speaker speaker(out_, likeliest);
    bisect::Bisection bisection(graph, settings_of(question), journal_, tester, speaker);
    speaker.watch(bisection.search());
    if (auto ready = tester.prepare([&](const std::string& text) { speaker.on_status(text); });
        ready) {
      stop = bisection.run(max_trials, interrupted);
    } else if (!interrupted()) {
      stop = tl::make_unexpected(ready.error());
    }
    return tell(question.range, bisection.search(), stop);
  }

  Result<int> with_vms(const bisect::Question& question, const bisect::CommitGraph& graph,
                       std::uint32_t max_trials) {
    auto recipe = KernelRecipe::open(files_.recipe());
    if (!recipe) return tl::make_unexpected(recipe.error());
    auto top = bisect::top_of(question.range.repository);
    if (!top) return tl::make_unexpected(top.error());
    const auto kernel_of = [&](const bisect::Commit& commit) {
      return recipe->kernel(kernel_name(commit), "git:" + top->string() + "@" + commit.id);
    };
    const bisect::Search* search = nullptr;
    const auto signature = [&] { return search->signature(); };
    Speaker speaker(out_, likeliest);
    auto testing = VmTesting::open(
        common_, {*question.vm, files_.recipe(), files_.logs(), kernel_of, signature},
        speaker.status());
    if (!testing) return tl::make_unexpected(testing.error());
    bisect::Bisection bisection(graph, settings_of(question), journal_, (*testing)->tester(),
                                speaker);
    search = &bisection.search();
    speaker.watch(bisection.search());
    return tell(question.range, bisection.search(), bisection.run(max_trials, interrupted));
  }

  std::string again() const {
    return fmt::format("{} bisect --resume {}", shell_word(common_.program),
                       shell_word(files_.directory.string()));
  }

  Result<int> tell(const bisect::Range& range, const bisect::Search& search,
                   const Result<bisect::Stop>& stop) {
    const std::string text = bisect::answer_text(search);
    nlohmann::json json = bisect::answer_json(range, search);
    json["directory"] = files_.directory.string();
    json["git_bisect_log"] = files_.log().string();
    json["resume"] = again();
    const std::string dump = json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace);
    const bool has_ended = stop && *stop == bisect::Stop::kEnded;
    auto written = kernel::write_text(files_.log(), bisect::git_bisect_log(range, search));
    if (written) written = kernel::write_text(files_.text(), text);
    if (written && has_ended) written = kernel::write_text(files_.json(), dump + "\n");
    if (!written) return tl::make_unexpected(written.error());
    if (!stop) return context("the bisection stopped (go on with: " + again() + ")", stop.error());
    fmt::print(out_, "\n{}{} trials, {:.0f} s; log for git bisect replay: {}\n",
               escape_for_terminal(text), search.trials(), search.seconds(), files_.log().string());
    if (common_.json) fmt::print("{}\n", dump);
    if (*stop == bisect::Stop::kInterrupted) {
      fmt::print(out_, "interrupted; go on with: {}\n", again());
      return interrupted_exit_code();
    }
    if (!has_ended) {
      fmt::print(out_, "as many trials as were allowed; go on with: {} --max-trials {}\n", again(),
                 2 * search.trials());
      return kExitUnexpected;
    }
    remove_tree();
    if (search.end() == bisect::SearchEnd::kBadUntestable) return kExitSkipped;
    return search.end() == bisect::SearchEnd::kSettled ? kExitExpected : kExitUnexpected;
  }

  void remove_tree() {
    StatusLine status(out_);
    const ProgressSink sink = [&](const Progress& now) { status.show(to_text(now)); };
    const std::function<bool()> stop = interrupted;
    kernel::Reporter reporter(sink, stop);
    reporter.stage("remove the checkout");
    // The answer stands whether or not this works, and the cache may be emptied at any time.
    if (auto removed = reporter.remove(files_.tree()); !removed) {
      fmt::print(out_, "left behind: {}\n", removed.error().message);
    }
  }

  const CommonOptions& common_;
  Files files_;
  kernel::TreeLock lock_;
  bisect::Journal journal_;
  std::FILE* out_;
};

Result<kernel::TreeLock> lock(const Files& files) {
  auto lock = kernel::TreeLock::try_now(files.lock());
  if (!lock) return tl::make_unexpected(lock.error());
  if (*lock) return std::move(**lock);
  return usage(files.directory.string() + " is at work already, in another process");
}

// Puts the trial into the question, and gives what its kernels are made like.
Result<KernelSpec> ask_for_vms(const CommonOptions& common, const TrialOptions& options,
                               bisect::Question& question) {
  auto session = Session::open(common);
  if (!session) return tl::make_unexpected(session.error());
  auto trial = vm_trial(**session, options);
  if (!trial) return tl::make_unexpected(trial.error());
  auto machine = (*session)->machine_that_fits(trial->machine);
  if (!machine) return tl::make_unexpected(machine.error());
  auto kernel = kernel_like(**session, options);
  if (!kernel) return kernel;
  // A bad line shall not be met after the first hour.
  for (const fs::path& patch : kernel->patches) {
    auto text = kernel::read_text(patch);
    if (!text) return tl::make_unexpected(text.error());
    auto files = kernel::files_of({patch, std::move(*text)});
    if (!files) return tl::make_unexpected(files.error());
  }
  if (question.signature.empty()) question.signature = bisect::case_signature(*trial);
  question.vm = std::move(*trial);
  kernel->source = "git:" + question.range.repository.string() + "@" + question.range.bad.id;
  return kernel;
}

Result<int> start(const CommonOptions& common, const BisectOptions& options) {
  bisect::Question question;
  auto range = bisect::find_range(options.repository, options.good, options.bad);
  if (!range) return tl::make_unexpected(range.error());
  // Before anything is written: a mistake leaves nothing behind.
  if (auto graph = bisect::read_history(*range, interrupted); !graph) {
    return tl::make_unexpected(graph.error());
  }
  question.range = std::move(*range);
  if (options.confidence > 0) question.confidence = options.confidence;
  question.signature = options.signature;
  question.seed = options.seed != 0 ? options.seed : trial_seed(std::random_device{}(), 1);
  question.build = options.build;
  question.run = options.run;
  std::optional<KernelSpec> kernel;
  if (options.trial.is_given()) {
    auto asked = ask_for_vms(common, options.trial, question);
    if (!asked) return tl::make_unexpected(asked.error());
    kernel = std::move(*asked);
  }
  auto directory =
      Session::directory_in(root_of(common), question.range.repository.filename().string());
  if (!directory) return tl::make_unexpected(directory.error());
  const Files files{*directory};
  auto held = lock(files);
  if (!held) return tl::make_unexpected(held.error());
  // Before the question: who goes on needs both.
  if (kernel) {
    auto recipe = KernelRecipe::keep(*kernel, files.recipe());
    if (!recipe) return tl::make_unexpected(recipe.error());
  }
  auto journal = bisect::Journal::open(files.journal());
  if (!journal) return tl::make_unexpected(journal.error());
  if (auto written = journal->append(question); !written) {
    return tl::make_unexpected(written.error());
  }
  return Run(common, files, std::move(*held), std::move(*journal)).go(options);
}

Result<int> go_on(const CommonOptions& common, const BisectOptions& options) {
  Result<Files> files = options.directory.empty()
                            ? newest(common)
                            : Files{fs::absolute(options.directory).lexically_normal()};
  if (!files) return tl::make_unexpected(files.error());
  if (!fs::exists(files->journal())) {
    return usage("there is no bisection in " + files->directory.string() + " (no journal.jsonl)");
  }
  auto held = lock(*files);
  if (!held) return tl::make_unexpected(held.error());
  auto journal = bisect::Journal::open(files->journal());
  if (!journal) return tl::make_unexpected(journal.error());
  if (journal->records().empty()) {
    return usage(files->directory.string() + " was killed before it began; start it again");
  }
  bisect::Question question = bisect::question_of(journal->records());
  if (question.vm && !(options.run + options.build).empty()) {
    return usage("its trials are VMs: --run and --build belong to another bisection");
  }
  const auto replace = [](std::string& old, const std::string& text) {
    if (!text.empty()) old = text;
  };
  replace(question.run, options.run);
  replace(question.build, options.build);
  replace(question.signature, options.signature);
  if (options.confidence > 0) question.confidence = options.confidence;
  if (auto written = journal->append(question); !written) {
    return tl::make_unexpected(written.error());
  }
  return Run(common, *files, std::move(*held), std::move(*journal)).go(options);
}

int bisect_history(const CommonOptions& common, const BisectOptions& options) {
  auto code = options.resume ? go_on(common, options) : start(common, options);
  if (code) return *code;
  return interrupted() ? interrupted_exit_code() : fail(code.error());
}

void check(const BisectOptions& options) {
  const auto need = [](const char* name, bool is_there, const char* why) {
    if (!is_there) throw CLI::ValidationError(name, why);
  };
  const bool in_vms = options.trial.is_given();
  if (options.resume) {
    if (in_vms || options.trial.has_more()) {
      throw CLI::ValidationError("--resume", "goes on with the trials that it had");
    }
    return;
  }
  if (!in_vms && options.trial.has_more()) {
    throw CLI::ValidationError("--case or --workload", "is missing: what runs in the VMs?");
  }
  need("--good", !options.good.empty(), "is missing: a revision that does not have the bug");
  need("--bad", !options.bad.empty(), "is missing: a revision that has the bug");
  need("--case, --workload or --run", in_vms || !options.run.empty(),
       "is missing: what is one trial?");
  if (in_vms && !(options.run + options.build).empty()) {
    throw CLI::ValidationError("--run and --build", "have no meaning with --case or --workload");
  }
}

void add_range_options(CLI::App& command, BisectOptions& options) {
  command.add_option("--repo", options.repository, "The git repository; it is only read")
      ->capture_default_str();
  command.add_option("--good", options.good,
                     "A revision without the bug; repeatable. It is not tried: be sure");
  command.add_option("--bad", options.bad, "A revision with the bug. It is tried first");
  command
      .add_option_function<std::vector<std::string>>(
          "--resume",
          [&options](const std::vector<std::string>& values) {
            options.resume = true;
            if (!values.empty()) options.directory = values[0];
          },
          "Go on with the bisection in DIR, or with the newest that has not ended")
      ->expected(0, 1)
      ->type_name("[DIR]")
      ->excludes("--repo")
      ->excludes("--good")
      ->excludes("--bad");
}

}  // namespace

void add_bisect_command(CLI::App& app, CommonOptions& common, int& code) {
  CLI::App* command = app.add_subcommand(
      "bisect", "Which commit brought the bug? Also for a bug that few trials show");
  command->footer(kHelp);
  auto options = std::make_shared<BisectOptions>();
  add_range_options(*command, *options);
  command->add_option("--run", options->run, "One trial: a command for sh (exit codes see below)");
  add_trial_options(*command, options->trial, common);
  command->add_option("--build", options->build, "A command for sh that is run before the trials");
  command
      ->add_option("--confidence", options->confidence,
                   "Stop when a commit is the culprit with this chance (default: 0.95)")
      ->check(CLI::Range(0.5, 0.9999, "0.5 to 0.9999"));
  command->add_option("--signature", options->signature,
                      "What counts as the bug (default: what the case expects, or what the bad end "
                      "shows first)");
  command
      ->add_option("--max-trials", options->max_trials,
                   "Stop after so many, those before a --resume included")
      ->check(CLI::Range(1, 1000000, "1 to 1000000"));
  command->add_option("--seed", options->seed, "Decides the seed of every trial; 0 draws one");
  command->add_flag("--json", common.json,
                    "Print the result as JSON on stdout, the rest on stderr");
  command->add_option("--out", common.out,
                      "Folder of the bisections (default: bisect in the XDG state folder)");
  command->callback([&common, &code, options] {
    check(*options);
    code = bisect_history(common, *options);
  });
}

}  // namespace mmquake
