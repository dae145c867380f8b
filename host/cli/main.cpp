// SPDX-License-Identifier: GPL-2.0-or-later
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstring>
#include <utility>

#include "host/cli/bench_command.h"
#include "host/cli/bisect_command.h"
#include "host/cli/commands.h"
#include "host/cli/doctor_command.h"
#include "host/cli/interrupt.h"
#include "host/cli/kernel_command.h"
#include "host/cli/kselftest_command.h"
#include "host/cli/report_command.h"
#include "host/cli/shrink_command.h"
#include "host/cli/trial_options.h"
#include "host/cli/widen_command.h"
#include "host/machine/reaper.h"
#include "host/plan/campaign_spec.h"
#include "host/plan/duration.h"

namespace mmquake {
namespace {

constexpr const char* kAbout =
    "mmquake shakes the Linux memory manager inside NUMA virtual machines until it hangs, warns\n"
    "or corrupts memory, and says which, and how often.\n";

constexpr const char* kExamples =
    "\nExamples:\n"
    "  mmquake doctor                            what this host has, and what is missing\n"
    "  mmquake list                              cases, workloads, kernels, machines\n"
    "  mmquake repro uffd-thp-migration          the bug kernel must find, the clean one pass\n"
    "  mmquake repro uffd-thp-migration --kernel dir:/src/linux    has this tree the bug?\n"
    "  mmquake repro --c reproducer.c            a program from a mail (docs/reproducing.md)\n"
    "  mmquake repro --kselftest DIR --test 'mm:*'    a built selftest collection, test by test\n"
    "  mmquake score --quick                     is every known bug found, and no clean kernel "
    "blamed?\n"
    "  mmquake bench pin                         what does nth_page() cost?\n"
    "  mmquake run migrate-verify --kernel clean --seconds 120\n"
    "  mmquake soak nightly --for 8h             everything, all night\n"
    "  mmquake bisect --good v6.1 --bad v6.2 --case uffd-thp-migration    which commit brought "
    "it?\n"
    "  mmquake patch test fix.mbox --case uffd-thp-migration --kernel dir:/src/linux    mended?\n"
    "\nExit codes: 0 as expected, 1 a finding where none was expected or none where one was,\n"
    "2 usage, 3 broken (harness or host), 4 skipped, 128+n ended by signal n.\n";

const CLI::Range kSeconds(1.0, 86400.0, "1 to 86400");
const CLI::Range kTrials(1, 10000, "1 to 10000");

void add_run_options(CLI::App& app, RunOptions& run) {
  app.add_option("WORKLOAD", run.workload, "Its name (mmquake list)")->required();
  app.add_option("--kernel", run.kernel, "Kernel, or dir:PATH, git:PATH@REV, a .toml file")
      ->capture_default_str();
  app.add_option("--machine", run.machine, "Machine")->capture_default_str();
  app.add_option("--seconds", run.seconds, "Guest time per trial")
      ->check(kSeconds)
      ->capture_default_str();
  app.add_option("--seed", run.seed, "Decides every random choice; 0 draws one")
      ->capture_default_str();
  app.add_option("--trials", run.trials, "Trials; each next one has the next seed")
      ->check(kTrials)
      ->capture_default_str();
  app.add_option("--param", run.params, "Workload parameter as key=value; repeatable");
  app.add_option("--bugs", run.bugs, "Switches of the specimen kernel to put on")->delimiter(',');
  app.add_option("--widen", run.widen,
                 "Delay site: SITE[:MIN-MAX us][:p=PROBABILITY][:comm=THREAD][:spin]");
}

// What commands that find have for whoever wants to see more of it: docs/evidence.md.
void add_evidence_options(CLI::App& app, bool& dump, DebugOptions& debug) {
  app.add_flag("--dump", dump, "A finding leaves the guest's memory, for crash");
  CLI::Option* gdb =
      app.add_flag("--gdb", debug.wanted,
                   "The guest waits for gdb, which gets the terminal; there is no verdict");
  app.add_flag("--no-gdb", debug.print_only, "With --gdb: say how to start it, and wait")
      ->needs(gdb);
  app.add_option("--ex", debug.commands, "With --gdb: a command of gdb's, which then ends")
      ->needs(gdb)
      ->allow_extra_args(false);
}

void add_run(CLI::App& app, CommonOptions& common, RunOptions& run, int& code) {
  CLI::App* command = app.add_subcommand("run", "Run one workload");
  add_run_options(*command, run);
  add_evidence_options(*command, run.dump, run.debug);
  add_vm_options(*command, common);
  command->callback([&] { code = run_workload(common, run); });
}

// A trial of the store says how it was run; what was given beside it is kept.
Result<> take_from_store(const CLI::App& command, const CommonOptions& common,
                         const std::string& store, ShrinkOptions& shrink) {
  auto words = words_of_trial(common, shrink.run.workload, store, shrink);
  if (!words) return tl::make_unexpected(words.error());
  RunOptions stored;
  CommonOptions unused;
  CLI::App app;
  add_run_options(app, stored);
  add_vm_options(app, unused);
  std::reverse(words->begin(), words->end());  // as CLI11 wants them
  app.parse(*words);
  const RunOptions given = std::exchange(shrink.run, stored);
  shrink.run.trials = given.trials;
  if (command.count("--kernel") > 0) shrink.run.kernel = given.kernel;
  if (command.count("--machine") > 0) shrink.run.machine = given.machine;
  if (command.count("--seconds") > 0) shrink.run.seconds = given.seconds;
  if (command.count("--seed") > 0) shrink.run.seed = given.seed;
  if (command.count("--param") > 0) shrink.run.params = given.params;
  if (command.count("--bugs") > 0) shrink.run.bugs = given.bugs;
  if (command.count("--widen") > 0) shrink.run.widen = given.widen;
  return {};
}

constexpr const char* kShrinkHelp =
    "\nTakes away what a finding of a composition does not need (roles, delays, parameters, nodes, "
    "CPUs,\n"
    "time), one thing after the other, while the same bug is still found often enough, and makes "
    "one\n"
    "C file of what is left (docs/compose.md). WORKLOAD is CAMPAIGN/NUMBER, a trial of the store, "
    "or\n"
    "'compose' with what `run compose` was given: the line that follows 'again:'.\n"
    "\nExamples:\n"
    "  mmquake shrink 3/12\n"
    "  mmquake shrink compose --kernel specimen --bugs B --param backing=anon-thp --param "
    "mover=mbind\n";

void add_shrink(CLI::App& app, CommonOptions& common, ShrinkOptions& shrink, std::string& store,
                int& code) {
  CLI::App* command = app.add_subcommand(
      "shrink", "The smallest composition that still finds the bug, and one C file that does");
  command->footer(kShrinkHelp);
  add_run_options(*command, shrink.run);
  command->get_option("WORKLOAD")->description("A trial of the store, as 3/12; or 'compose'");
  command->get_option("--trials")->description("The most trials of one step");
  add_vm_options(*command, common);
  command->add_option("--proof", shrink.proof, "Trials of what is left, and of the C file, each")
      ->check(kTrials)
      ->capture_default_str();
  command->add_flag("--as-is", shrink.as_is, "Take nothing away: only make the C file");
  command->add_option("--store", store, "Folder of the trial's store, as given to soak --out");
  command->callback([&, command] {
    if (is_trial_name(shrink.run.workload)) {
      if (auto taken = take_from_store(*command, common, store, shrink); !taken) {
        code = fail(taken.error());
        return;
      }
    }
    code = shrink_composition(common, shrink);
  });
}

// --movers mbind,cpuset: what may be drawn for a slot; "none" leaves it empty.
void add_choice(CLI::App& command, Slot slot, std::string_view key, WordChoice& only) {
  std::vector<std::string> words;
  for (const Ingredient& one : ingredients(slot)) words.emplace_back(one.name);
  if (slot != Slot::kBacking) words.emplace_back(kNoWord);
  command
      .add_option_function<std::vector<std::string>>(
          fmt::format("--{}", key),
          [&only, slot](std::vector<std::string> chosen) {
            std::erase(chosen, kNoWord);
            only[slot] = std::move(chosen);
          },
          fmt::format("Draw these {} only, as in a campaign's [[compose]]", key))
      ->delimiter(',')
      ->type_name("WORD")
      ->check(CLI::IsMember(words).description(""));
}

void add_compose(CLI::App& app, CommonOptions& common, ComposeOptions& compose, int& code) {
  CLI::App* command =
      app.add_subcommand("compose", "What a soak composes its random trials of, and some draws");
  command->add_flag("--space", compose.space, "Print the ingredients and their rules");
  command->add_option("--seed", compose.seed, "Of the first draw; each next one has the next")
      ->capture_default_str();
  command->add_option("--count", compose.count, "How many draws")
      ->check(CLI::Range(1, 100000, "1 to 100000"))
      ->capture_default_str();
  command->add_option("--machine", compose.machine, "What this machine lacks is not drawn")
      ->capture_default_str();
  for (const auto& [slot, key] : kWordChoices) add_choice(*command, slot, key, compose.only);
  add_common(*command, common);
  command->callback([&] { code = mmquake::compose(common, compose); });
}

// A program of the user's instead of a case.
void add_payload(CLI::App& command, CLI::Option& name, ReproOptions& repro) {
  const auto option = [&](PayloadSource::Kind kind, const std::string& help) {
    CLI::Option* added = command.add_option_function<std::string>(
        "--" + to_string(kind),
        [&repro, kind](const std::string& file) {
          repro.payload = PayloadSource{kind, file};
        },
        help);
    return added->excludes(&name);
  };
  CLI::Option* c = option(PayloadSource::Kind::kC,
                          "A reproducer in C or C++: compiled, and run on --kernel (clean)");
  CLI::Option* binary = option(PayloadSource::Kind::kBinary, "The same, compiled with -static");
  CLI::Option* script = option(PayloadSource::Kind::kScript, "The same, a script for busybox's sh");
  c->excludes(binary)->excludes(script);
  binary->excludes(script);
  command
      .add_option("--widen", repro.widen,
                  "With a program: SITE[:MIN-MAX us][:p=PROBABILITY][:comm=THREAD][:spin]")
      ->excludes(&name);
}

// A collection of kernel selftests instead of either.
void add_kselftest(CLI::App& command, CLI::Option& name, KselftestOptions& kselftest) {
  CLI::Option* directory =
      command.add_option("--kselftest", kselftest.directory,
                         "A built selftest collection (make -C tools/testing/selftests install), "
                         "each test in a VM of its own on --kernel (clean)");
  directory->excludes(&name);
  for (const char* other : {"--c", "--binary", "--script", "--param", "--gdb"}) {
    directory->excludes(command.get_option(other));
  }
  command
      .add_option("--test", kselftest.tests,
                  "With --kselftest: only mm:compaction_test, or a pattern; repeatable")
      ->needs(directory)
      ->allow_extra_args(false);
  command
      .add_flag("--ktap", kselftest.ktap,
                "With --kselftest: print the results as KTAP on stdout, the rest on stderr")
      ->needs(directory)
      ->excludes(command.get_option("--json"));
}

void add_repro(CLI::App& app, CommonOptions& common, ReproOptions& repro,
               KselftestOptions& kselftest, int& code) {
  CLI::App* command = app.add_subcommand(
      "repro", "Reproduce a case: its bug kernel must find it, its clean kernel must pass");
  CLI::Option* name = command->add_option("CASE", repro.case_name, "Its name (mmquake list)");
  add_payload(*command, *name, repro);
  command->add_option("--kernel", repro.kernel,
                      "Only this kernel: must pass, or with --bugs must find");
  command->add_option("--machine", repro.machine, "Machine instead of the case's");
  command->add_option("--seconds", repro.seconds, "Guest time per trial instead of the case's")
      ->check(kSeconds);
  command->add_option("--seed", repro.seed, "Decides every random choice; 0 draws one");
  command->add_option("--trials", repro.trials, "Trials on each kernel")
      ->check(kTrials)
      ->capture_default_str();
  command->add_option("--param", repro.params, "Workload parameter as key=value; repeatable");
  command->add_option("--bugs", repro.bugs, "Switches to put on (with --kernel)")->delimiter(',');
  add_evidence_options(*command, repro.dump, repro.debug);
  add_vm_options(*command, common);
  add_kselftest(*command, *name, kselftest);
  command->callback([&] {
    if (!kselftest.directory.empty()) {
      code = repro_kselftest(common, repro, kselftest);
      return;
    }
    if (repro.payload) {
      code = repro_program(common, repro);
      return;
    }
    if (repro.case_name.empty()) {
      throw CLI::RequiredError("CASE, --c, --binary, --script or --kselftest");
    }
    if (!repro.bugs.empty() && repro.kernel.empty()) {
      throw CLI::ValidationError("--bugs", "needs --kernel: a case knows its own switches");
    }
    code = repro_case(common, repro);
  });
}

void add_score(CLI::App& app, CommonOptions& common, ScoreOptions& score, int& code) {
  CLI::App* command = app.add_subcommand(
      "score", "Can a green run be trusted? Every case on its bug kernel and on its clean one");
  command->add_option("CASE", score.cases, "Cases (default: all; see mmquake list)");
  CLI::Option* kernel =
      command->add_option("--kernel", score.kernel,
                          "Only this kernel, which must pass all cases: is any of the bugs in it?");
  command
      ->add_option("--series", score.series,
                   "On KERNEL-SERIES instead of each KERNEL that a case names, as 6.12")
      ->excludes(kernel);
  command->add_flag("--quick", score.quick,
                    "One trial on each kernel; a bug that it misses gets two more");
  command->add_flag("--no-build", score.no_build,
                    "Leave out cases whose kernels are not built yet, and say so");
  command->add_option("--trials", score.trials, "Trials on each kernel")
      ->check(kTrials)
      ->capture_default_str();
  command->add_option("--clean-seconds", score.clean_seconds, "Guest time of each clean trial")
      ->check(kSeconds)
      ->capture_default_str();
  command->add_option("--seed", score.seed, "Decides every random choice; 0 draws one");
  add_vm_options(*command, common);
  command->callback([&] { code = score_cases(common, score); });
}

constexpr const char* kSoakHelp =
    "\nA campaign (configs/campaigns/NAME.toml) says which cases and workloads run on which "
    "kernels,\n"
    "and for how long. Every trial is in the store (runs/store.sqlite in the state folder) before "
    "it\n"
    "starts, so whatever is killed at any moment is continued by --resume: no trial is lost or\n"
    "counted twice. Findings do not stop a soak.\n"
    "\nExamples:\n"
    "  mmquake soak clean --for 2h         every workload where nothing may be found\n"
    "  mmquake soak nightly                what the systemd timer runs\n"
    "  mmquake soak my.toml --trials 100 --jobs 2 --seed 7\n"
    "  mmquake soak --resume               go on with the newest campaign that has not ended\n"
    "  mmquake soak --resume 3 --for 12h   campaign 3, with a larger budget\n"
    "  mmquake soak --summary              what the newest campaign has found\n"
    "\nExit codes: 1 something was found; else 3 a trial broke, or none was run; else 4 all were\n"
    "skipped; else 0. 2 usage, 128+n ended by signal n (Ctrl-C prints how to go on).\n";

// A whole number or nothing.
void set_id(SoakOptions& soak, const std::vector<std::string>& values) {
  for (const std::string& value : values) {
    if (value.empty()) continue;
    if (!CLI::detail::lexical_cast(value, soak.id) || soak.id < 1) {
      throw CLI::ValidationError("'" + printable(value) + "'", "is not a campaign's number");
    }
  }
}

void add_soak(CLI::App& app, CommonOptions& common, SoakOptions& soak, int& code) {
  CLI::App* command = app.add_subcommand(
      "soak", "Run many trials of a campaign, for hours: is anything broken tonight?");
  command->footer(kSoakHelp);
  command->add_option("CAMPAIGN", soak.campaign, "Its name in configs/campaigns, or a .toml file");
  command->add_option_function<std::string>(
      "--for",
      [&soak](const std::string& text) {
        auto seconds = parse_duration(text);
        if (!seconds) throw CLI::ValidationError("--for", seconds.error().message);
        soak.seconds = *seconds;
      },
      "Host time instead of the campaign's budget: 90s, 30m, 8h, 1h30m, 2d");
  command->add_option("--trials", soak.trials, "Trials instead of the campaign's budget")
      ->check(CLI::Range(1, 1000000, "1 to 1000000"));
  command
      ->add_option("--jobs", soak.jobs,
                   "VMs at a time (default: a core for each vCPU, as memory allows; at least 1)")
      ->check(CLI::Range(1, 256, "1 to 256"));
  command->add_option("--seed", soak.seed, "Decides order and seed of every trial; 0 draws one");
  command
      ->add_option_function<std::vector<std::string>>(
          "--resume",
          [&soak](const std::vector<std::string>& values) {
            soak.resume = true;
            set_id(soak, values);
          },
          "Go on with campaign ID, or with the newest that has not ended")
      ->expected(0, 1)
      ->type_name("[ID]");
  command
      ->add_option_function<std::vector<std::string>>(
          "--summary",
          [&soak](const std::vector<std::string>& values) {
            soak.summary = true;
            set_id(soak, values);
          },
          "Only print the summary of campaign ID, or of the newest")
      ->expected(0, 1)
      ->type_name("[ID]");
  command->add_flag("--check", soak.check, "Only look for faults in the store");
  add_vm_options(*command, common);
  command->callback([&] {
    if (soak.campaign.empty() && !soak.resume && !soak.summary && !soak.check) {
      throw CLI::ValidationError("CAMPAIGN", "is missing: say which one, or --resume");
    }
    code = mmquake::soak(common, soak);
  });
}

void add_store_options(CLI::App& app, CommonOptions& common) {
  add_common(app, common);
  app.add_option("--out", common.out, "Folder of the store, as given to soak --out");
}

void add_report(CLI::App& app, CommonOptions& common, ReportOptions& report, int& code) {
  CLI::App* command =
      app.add_subcommand("report", "What a campaign found: text, HTML, JUnit, KTAP, KCIDB");
  command->add_option("CAMPAIGN", report.campaign, "Its number (default: the last one)")
      ->check(CLI::Range(1, 1000000000));
  command->add_option("--since", report.since,
                      "Only trials that ended since then: 90m, 36h, 7d, or a date (UTC)");
  command->add_option("--html", report.html, "Write pages for a browser into this folder");
  command->add_option("--junit", report.junit, "Write JUnit XML to this file");
  command->add_option("--kcidb", report.kcidb, "Write KCIDB 5.3 JSON to this file");
  command->add_option("--origin", report.origin, "Who sends to KCIDB: lower case, digits, '_'")
      ->capture_default_str();
  command->add_flag("--ktap", report.ktap, "Print KTAP instead of the summary");
  add_store_options(*command, common);
  command->callback([&] { code = report_campaign(common, report); });
}

// What is asked of one thing in the store.
struct StoredName {
  std::string name;
  bool dump = false;
  DebugOptions debug;
};

// "replay", and "debug", which is one with gdb.
void add_replays(CLI::App& app, CommonOptions& common, StoredName& stored, int& code) {
  const auto add = [&](const char* command, const char* about) {
    CLI::App* added = app.add_subcommand(command, about);
    added->add_option("TRIAL", stored.name, "CAMPAIGN/NUMBER, as in 3/12")->required();
    add_store_options(*added, common);
    return added;
  };
  CLI::App* replay = add("replay", "Run a trial of a campaign again");
  replay->add_flag("--dump", stored.dump, "A finding leaves the guest's memory, for crash");
  replay->callback([&] {
    code =
        replay_trial(common, stored.name,
                     stored.dump ? std::vector<std::string>{"--dump"} : std::vector<std::string>());
  });
  CLI::App* debug = add("debug", "Boot a trial of a campaign again, with gdb on its kernel");
  debug->add_flag("--no-gdb", stored.debug.print_only, "Say how to start gdb, and wait");
  debug->add_option("--ex", stored.debug.commands, "A command of gdb's, which then ends")
      ->allow_extra_args(false);
  debug->callback([&] {
    std::vector<std::string> more = {"--gdb"};
    if (stored.debug.print_only) more.emplace_back("--no-gdb");
    for (const std::string& one : stored.debug.commands) more.insert(more.end(), {"--ex", one});
    code = replay_trial(common, stored.name, more);
  });
}

// Commands that name one thing in the store.
void add_store_readers(CLI::App& app, CommonOptions& common, StoredName& stored, int& code) {
  std::string& name = stored.name;
  CLI::App* bugs = app.add_subcommand("bugs", "The distinct bugs of all campaigns");
  add_store_options(*bugs, common);
  bugs->callback([&] { code = list_bugs(common); });
  CLI::App* show = app.add_subcommand("show", "One bug: how often, how soon, its evidence");
  show->add_option("BUG", name, "Its id, or the beginning of it (mmquake bugs)")->required();
  add_store_options(*show, common);
  show->callback([&] { code = show_bug(common, name); });
  CLI::App* mail = app.add_subcommand("mail", "One bug as a plain-text mail to linux-mm");
  mail->add_option("BUG", name, "Its id, or the beginning of it (mmquake bugs)")->required();
  add_store_options(*mail, common);
  mail->callback([&] { code = mail_bug(common, name); });
}

void add_bench(CLI::App& app, CommonOptions& common, BenchPinOptions& pin, int& code) {
  CLI::App* command = app.add_subcommand("bench", "Measure what a question of the field asks");
  command->callback([command, &code] {
    if (command->get_subcommands().empty()) code = fail(wrong_action(*command, "benchmark"));
  });
  CLI::App* pins = command->add_subcommand(
      "pin", "Pinning huge pages: nth_page() against page++, on both memory models");
  // The guest has room for so many: workloads/gigantic/pin_speed.cpp.
  pins->add_option("--rounds", pin.rounds, "How often each is measured, by turns")
      ->check(CLI::Range(3, 60, "3 to 60"))
      ->capture_default_str();
  add_vm_options(*pins, common);
  pins->callback([&] { code = bench_pin(common, pin); });
  // CLI11 would only say that a subcommand is required. Not before the others: they inherit it.
  command->allow_extras();
}

// CLI11 prints its own text for --help and usage errors; ours adds where to look.
int usage_error(CLI::App& app, const CLI::ParseError& error, int argc, char** argv) {
  if (error.get_exit_code() == 0) return app.exit(error);
  std::vector<std::string> commands;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    commands.push_back(command->get_name());
  }
  for (int i = 1; i < argc; ++i) {
    if (argv[i][0] == '-') continue;
    if (std::find(commands.begin(), commands.end(), argv[i]) == commands.end()) {
      return fail(unknown_name("command", argv[i], commands));
    }
    break;
  }
  fmt::print(stderr, "mmquake: {}\nRun with --help to see what it takes.\n", error.what());
  return app.got_subcommand("bisect-run") ? kExitStopsGitBisect : kExitUsage;
}

int run_main(int argc, char** argv) {
  CommonOptions common;
  common.program = argv[0];
  RunOptions run;
  ShrinkOptions shrink;
  shrink.run.trials = 100;
  std::string shrink_store;
  ComposeOptions compose;
  ReproOptions repro;
  KselftestOptions kselftest;
  ScoreOptions score;
  SoakOptions soak;
  ReportOptions report;
  StoredName stored;
  BenchPinOptions bench_pin_options;
  int code = 0;
  CLI::App app(kAbout, "mmquake");
  app.footer(kExamples);
  app.require_subcommand(1);
  app.set_version_flag("--version", "mmquake " MMQUAKE_VERSION);
  bool verbose = false;
  app.add_flag("-v,--verbose", verbose, "Print what the program does, on stderr");
  app.parse_complete_callback([&] {
    if (verbose) spdlog::set_level(spdlog::level::debug);
  });
  CLI::App* list = app.add_subcommand("list", "Show cases, workloads, kernels and machines");
  add_common(*list, common);
  list->callback([&] { code = list_all(common); });
  add_run(app, common, run, code);
  add_repro(app, common, repro, kselftest, code);
  add_compose(app, common, compose, code);
  add_shrink(app, common, shrink, shrink_store, code);
  add_score(app, common, score, code);
  add_soak(app, common, soak, code);
  add_report(app, common, report, code);
  add_store_readers(app, common, stored, code);
  add_replays(app, common, stored, code);
  add_bisect_command(app, common, code);
  add_bisect_run_command(app, common, code);
  add_patch_command(app, common, code);
  add_widen_command(app, common, code);
  add_bench(app, common, bench_pin_options, code);
  add_kernel_command(app, common.json, code);
  add_doctor_command(app, common.json, code);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return usage_error(app, error, argc, argv);
  }
  return code;
}

}  // namespace
}  // namespace mmquake

int main(int argc, char** argv) {
  // Not a command: the process that outlives this one to end its VMs.
  if (argc == 3 && std::strcmp(argv[1], "vm-reaper") == 0) return mmquake::vm_reaper_main(argv[2]);
  spdlog::set_default_logger(spdlog::stderr_color_mt("mmquake"));
  spdlog::set_pattern("mmquake: %^%l%$: %v");
  spdlog::set_level(spdlog::level::warn);
  mmquake::catch_interrupts();
  return mmquake::run_main(argc, argv);
}
