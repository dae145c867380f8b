// SPDX-License-Identifier: GPL-2.0-or-later
//
// mmquake patch test: does a patch mend a bug?
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <system_error>

#include "host/bisect/bisection.h"
#include "host/bisect/fix.h"
#include "host/campaign/schedule.h"
#include "host/cli/bisect_command.h"
#include "host/cli/bisect_speaker.h"
#include "host/cli/interrupt.h"
#include "host/cli/kernel_command.h"
#include "host/cli/kernel_recipe.h"
#include "host/cli/trial_options.h"
#include "host/cli/vm_world.h"
#include "host/console/console.h"
#include "host/kernel/mail.h"
#include "host/report/report.h"

namespace mmquake {
namespace {

namespace fs = std::filesystem;

constexpr const char* kHelp =
    "\nThe kernel that has the bug is tried until it has shown it three times, so that its rate "
    "is\n"
    "known. Then the patched kernel is tried, until it shows the same (not fixed) or has passed "
    "so\n"
    "often that this would hardly come by luck (fixed; docs/bisect.md has the rule). FILE is a "
    "diff,\n"
    "a mail, or a mailbox with a series. Of a --case the bug is whatever the case expects.\n"
    "\nExamples:\n"
    "  mmquake patch test fix.mbox --case uffd-thp-migration --kernel dir:/src/linux\n"
    "  mmquake patch test fix.diff --workload migrate-verify --kernel git:/src/linux@v6.2\n"
    "\nExit codes: 0 fixed, 1 not fixed, 2 usage, 3 broken, 4 cannot tell, 128+n ended by signal "
    "n.\n";

struct PatchOptions {
  fs::path file;
  TrialOptions trial;
  std::string kernel;  // empty: the case's bug kernel, with its switches
  std::string signature;
  double confidence = 0.95;
  std::uint32_t max_trials = 500;
  std::uint64_t seed = 0;
};

// The kernel that shows the bug, and the trial that shows it.
struct Subject {
  bisect::VmTrial trial;
  KernelSpec kernel;
};

Result<Subject> subject_of(const Session& session, const PatchOptions& options) {
  Subject out;
  auto trial = vm_trial(session, options.trial);
  if (!trial) return tl::make_unexpected(trial.error());
  out.trial = std::move(*trial);
  std::string name = options.kernel;
  if (name.empty() && out.trial.case_name.empty()) {
    return usage("--kernel is missing: which kernel has the bug?");
  }
  if (name.empty()) {
    auto spec = session.catalogue().find_case(out.trial.case_name);
    if (!spec) return tl::make_unexpected(spec.error());
    name = spec->bug_kernel;
    out.trial.bugs = spec->bugs;
  }
  auto kernel = session.catalogue().kernel(name);
  if (!kernel) return tl::make_unexpected(kernel.error());
  if (auto fine = check_is_built(*kernel); !fine) return tl::make_unexpected(fine.error());
  out.kernel = std::move(*kernel);
  if (auto known = check_bugs(out.kernel, out.trial.bugs); !known) {
    return tl::make_unexpected(known.error());
  }
  return out;
}

// "fixed: 85 %"
std::string belief(const bisect::Search& search) {
  if (search.posterior().found_count() == 0) return "";
  return fmt::format("fixed: {:.0f} %", 100 * bisect::fix_answer(search).chance);
}

// A patch that does not apply decides at once: nobody wants to wait for the other kernel first.
Result<> prove_patchable(bisect::VmTester& tester, const bisect::Commit& patched,
                         Speaker& speaker) {
  const std::string what = "build " + patched.id;
  speaker.on_status(what);
  auto built = tester.build(
      patched, [&](const std::string& text) { speaker.on_status(what + ": " + text); });
  speaker.status().clear();
  if (!built) return tl::make_unexpected(built.error());
  if (built->end == bisect::BuildEnd::kBuilt) return {};
  return skipped("cannot tell: the patched kernel cannot be tested: " + built->reason);
}

int exit_code_of(const bisect::Search& search) {
  switch (bisect::fix_answer(search).end) {
    case bisect::FixEnd::kFixed:
      return kExitExpected;
    case bisect::FixEnd::kNotFixed:
      return kExitUnexpected;
    case bisect::FixEnd::kUndecided:
      break;
  }
  for (const std::size_t kernel : {bisect::kPatched, bisect::kUnpatched}) {
    const bisect::Tally& tally = search.tally(kernel);
    if (tally.broken >= search.settings().broken_limit && !tally.untestable.empty()) {
      return kExitBroken;
    }
  }
  return kExitSkipped;
}

Result<int> tell(const CommonOptions& common, const bisect::Search& search, const fs::path& folder,
                 std::uint64_t seed, std::FILE* out) {
  const std::string text = bisect::fix_text(search);
  nlohmann::json json = bisect::fix_json(search);
  json["directory"] = folder.string();
  json["seed"] = seed;
  const std::string dump = json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace);
  auto written = write_file(folder / "result.txt", text);
  if (written) written = write_file(folder / "result.json", dump + "\n");
  if (!written) return tl::make_unexpected(written.error());
  fmt::print(out, "\n{}{} trials, {:.0f} s; {}     seed: {}\n", escape_for_terminal(text),
             search.trials(), search.seconds(), folder.string(), seed);
  if (common.json) fmt::print("{}\n", dump);
  return interrupted() ? interrupted_exit_code() : exit_code_of(search);
}

// Both kernels are made by one recipe, whose last patches are those that are tested.
Result<int> run_test(const CommonOptions& common, const PatchOptions& options,
                     const Subject& subject, const KernelRecipe& recipe,
                     const fs::path& directory) {
  std::FILE* out = common.json ? stderr : stdout;
  const bisect::CommitGraph graph = bisect::fix_graph(subject.kernel.name);
  bisect::Question question;
  question.range.bad = graph.commit(bisect::kUnpatched);
  question.confidence = options.confidence;
  question.signature =
      options.signature.empty() ? bisect::case_signature(subject.trial) : options.signature;
  question.seed = options.seed != 0 ? options.seed : trial_seed(std::random_device{}(), 1);
  question.vm = subject.trial;
  auto journal = bisect::Journal::open(directory / "journal.jsonl");
  if (!journal) return tl::make_unexpected(journal.error());
  if (auto asked = journal->append(question); !asked) return tl::make_unexpected(asked.error());
  const bisect::Search* search = nullptr;
  const auto kernel_of = [&](const bisect::Commit& commit) {
    const bool with = commit.id == graph.commit(bisect::kPatched).id;
    return recipe.kernel(kernel_name(commit), subject.kernel.source,
                         with ? SIZE_MAX : subject.kernel.patches.size());
  };
  Speaker speaker(out, belief);
  auto testing = VmTesting::open(common,
                                 {subject.trial, directory / "kernels", directory / "trials",
                                  kernel_of, [&] { return search->signature(); }},
                                 speaker.status());
  if (!testing) return tl::make_unexpected(testing.error());
  bisect::VmTester& tester = (*testing)->tester();
  if (auto fine = prove_patchable(tester, graph.commit(bisect::kPatched), speaker); !fine) {
    return tl::make_unexpected(fine.error());
  }
  bisect::Bisection bisection(graph, bisect::fix_settings(question.confidence, question.signature),
                              *journal, tester, speaker);
  search = &bisection.search();
  speaker.watch(*search);
  auto stop = bisection.run(options.max_trials, interrupted);
  if (!stop) return tl::make_unexpected(stop.error());
  return tell(common, *search, directory, question.seed, out);
}

Result<int> test(const CommonOptions& common, const PatchOptions& options) {
  auto session = Session::open(common);
  if (!session) return tl::make_unexpected(session.error());
  auto subject = subject_of(**session, options);
  if (!subject) return tl::make_unexpected(subject.error());
  auto directory = (*session)->run_directory("patch-test");
  if (!directory) return tl::make_unexpected(directory.error());
  const ProgressSink silent;
  const std::function<bool()> stop = interrupted;
  kernel::Reporter reporter(silent, stop);
  auto patches = kernel::patches_in(options.file, *directory / "mail", reporter);
  if (!patches) {
    std::error_code ignored;  // the folder of a run that did not begin
    fs::remove_all(*directory, ignored);
    return tl::make_unexpected(patches.error());
  }
  KernelSpec patched = subject->kernel;
  patched.patches.insert(patched.patches.end(), patches->begin(), patches->end());
  auto recipe = KernelRecipe::keep(patched, *directory / "kernels");
  if (!recipe) return tl::make_unexpected(recipe.error());
  return run_test(common, options, *subject, *recipe, *directory);
}

void add_test(CLI::App& patch, CommonOptions& common, int& code) {
  CLI::App* command = patch.add_subcommand("test", "Is the bug gone with this patch?");
  command->footer(kHelp);
  auto options = std::make_shared<PatchOptions>();
  command->add_option("FILE", options->file, "The patch: a diff, a mail or a mailbox")
      ->required()
      ->check(CLI::ExistingFile);
  command->add_option("--kernel", options->kernel,
                      "The kernel that has the bug: a name, dir:PATH, git:PATH@REV (default: the "
                      "case's, with its switches on)");
  add_trial_options(*command, options->trial, common);
  // What they do is said by --kernel here.
  for (const char* other : {"--kernel-config", "--with-patch"}) {
    command->remove_option(command->get_option(other));
  }
  command
      ->add_option("--confidence", options->confidence, "Call it fixed when that has this chance")
      ->check(CLI::Range(0.8, 0.9999, "0.8 to 0.9999"))
      ->capture_default_str();
  command->add_option("--signature", options->signature,
                      "What counts as the bug (default: what the case expects, or what the "
                      "unpatched kernel shows first)");
  command->add_option("--max-trials", options->max_trials, "Stop after so many, of both kernels")
      ->check(CLI::Range(1, 1000000, "1 to 1000000"))
      ->capture_default_str();
  command->add_option("--seed", options->seed, "Decides the seed of every trial; 0 draws one");
  command->add_flag("--json", common.json,
                    "Print the result as JSON on stdout, the rest on stderr");
  command->add_option("--out", common.out,
                      "Folder for this run's files (default: a new one in the XDG state folder)");
  command->callback([&common, &code, options] {
    auto done = test(common, *options);
    if (!done) code = interrupted() ? interrupted_exit_code() : fail(done.error());
    if (done) code = *done;
  });
}

}  // namespace

void add_patch_command(CLI::App& app, CommonOptions& common, int& code) {
  CLI::App* command = app.add_subcommand("patch", "Try patches from mails");
  command->callback([command, &code] {
    if (command->get_subcommands().empty()) code = fail(wrong_action(*command, "patch command"));
  });
  add_test(*command, common, code);
  // CLI11 would only say that a subcommand is required. Not before the others: they inherit it.
  command->allow_extras();
}

}  // namespace mmquake
