// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/cli/kselftest_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <random>
#include <system_error>

#include "host/campaign/selftest.h"
#include "host/cli/interrupt.h"
#include "host/cli/status_line.h"
#include "host/image/selftests.h"
#include "host/plan/widen_text.h"
#include "host/report/exchange_formats.h"

namespace mmquake {
namespace {

// More than detector_scale() ever multiplies a timeout with.
constexpr double kMostSlowdown = 8;
constexpr double kEndSeconds = 60;
constexpr double kNoTimeout = 86400;

struct TestTrial {
  ReportedTrial trial;
  std::string test;
  KtapReport ktap;
};

struct Run {
  const CommonOptions& common;
  const ReproOptions& repro;
  const KselftestOptions& options;
  std::vector<Selftest> tests;
  TrialPlan plan;  // of all: kernel, machine, image, delays
  std::filesystem::path root;
  std::uint64_t seed = 0;  // of each test's first trial
};

std::string kernel_of(const ReproOptions& repro) {
  return repro.kernel.empty() ? "clean" : repro.kernel;
}

std::string machine_of(const ReproOptions& repro) {
  return repro.machine.empty() ? "numa2" : repro.machine;
}

std::string repeat_command(const Run& run, const std::string& test, std::uint64_t seed) {
  std::string out = fmt::format(
      "{} repro --kselftest {} --test {} --kernel {} --machine {} --seed {}",
      shell_word(run.common.program),
      shell_word(std::filesystem::absolute(run.options.directory).string()), shell_word(test),
      shell_word(kernel_of(run.repro)), shell_word(machine_of(run.repro)), seed);
  if (run.repro.seconds > 0) out += fmt::format(" --seconds {}", run.repro.seconds);
  for (const std::string& bug : run.repro.bugs) out += " --bugs " + shell_word(bug);
  for (const std::string& site : run.repro.widen) out += " --widen " + shell_word(site);
  return out + vm_options_text(run.common);
}

// Everything that all trials share; the image is in the run's folder.
Result<Run> plan_run(Session& session, const CommonOptions& common, const ReproOptions& repro,
                     const KselftestOptions& options) {
  auto all = list_selftests(options.directory);
  if (!all) return tl::make_unexpected(all.error());
  auto chosen = choose_selftests(*all, options.tests);
  if (!chosen) return tl::make_unexpected(chosen.error());
  auto machine = session.machine_that_fits(machine_of(repro));
  if (!machine) return tl::make_unexpected(machine.error());
  // Unpacked it is memory that no test has, and packed once more until then.
  auto image = selftest_image(options.directory, std::move(*chosen), machine->memory_mib() / 4);
  if (!image) return tl::make_unexpected(image.error());
  std::vector<WidenSite> widen;
  for (const std::string& text : repro.widen) {
    auto site = parse_widen(text);
    if (!site) return tl::make_unexpected(site.error());
    widen.push_back(*site);
  }
  auto plan = session.prepare(kernel_of(repro), machine_of(repro), repro.bugs);
  if (!plan) return tl::make_unexpected(plan.error());
  auto root = session.run_directory("kselftest");
  if (!root) return tl::make_unexpected(root.error());
  const std::filesystem::path initramfs = *root / "initramfs.cpio.gz";
  if (auto made = extend_initramfs(plan->initramfs, image->files, initramfs); !made) {
    return tl::make_unexpected(made.error());
  }
  plan->initramfs = initramfs;
  plan->guest.widen = std::move(widen);
  plan->dump = repro.dump;
  return Run{common,
             repro,
             options,
             std::move(image->tests),
             std::move(*plan),
             *root,
             repro.seed != 0 ? repro.seed : std::random_device{}()};
}

ReportedTrial planned_trial(const Run& run, std::size_t test, int index) {
  const Selftest& what = run.tests[test];
  ReportedTrial trial;
  trial.plan = run.plan;
  trial.kernel = run.plan.kernel.release.empty() ? run.plan.kernel.name : run.plan.kernel.release;
  trial.side = what.id();
  trial.number = index + 1;
  trial.of = run.repro.trials;
  const int timeout =
      run.repro.seconds > 0 ? static_cast<int>(std::ceil(run.repro.seconds)) : what.timeout_seconds;
  GuestPlan& guest = trial.plan.guest;
  guest.workload = "kselftest";
  guest.params = {{"test", std::to_string(test + 1)}, {"timeout", std::to_string(timeout)}};
  guest.seed = run.seed + static_cast<std::uint64_t>(index);
  guest.max_rounds = 1;
  guest.seconds = timeout > 0 ? timeout * kMostSlowdown + kEndSeconds : kNoTimeout;
  // A folder's name, and a VM's.
  std::string name = what.collection + "." + what.name;
  std::replace_if(
      name.begin(), name.end(),
      [](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '.' && c != '-' && c != '_';
      },
      '_');
  trial.plan.name = fmt::format("{:03}-{}-{}", test + 1, name.substr(0, 40), index + 1);
  trial.plan.directory = run.root / trial.plan.name;
  trial.plan.repeat_command = repeat_command(run, what.id(), guest.seed);
  return trial;
}

// A test that the guest could not run needs no VM.
Result<TestTrial> skip(ReportedTrial trial, const Selftest& test) {
  std::error_code error;
  std::filesystem::create_directories(trial.plan.directory, error);
  if (error) {
    return broken(
        fmt::format("cannot make '{}': {}", trial.plan.directory.string(), error.message()));
  }
  trial.result.directory = trial.plan.directory;
  trial.result.verdict = {Outcome::kSkipped, test.lack, {}};
  if (auto written = write_trial(trial); !written) return tl::make_unexpected(written.error());
  return TestTrial{std::move(trial), test.id(), {}};
}

Result<TestTrial> run_test(Session& session, const Run& run, std::size_t test, int index) {
  const Selftest& what = run.tests[test];
  ReportedTrial trial = planned_trial(run, test, index);
  if (!what.lack.empty()) return skip(std::move(trial), what);
  auto ran = session.run(std::move(trial));
  if (!ran) return tl::make_unexpected(ran.error());
  TestTrial out{std::move(*ran), what.id(), {}};
  TrialResult& result = out.trial.result;
  const auto cut = result.summary.counters.find("output_bytes_cut");
  auto output =
      read_selftest_output(result.directory / "records.jsonl", result.directory / "output.txt",
                           cut != result.summary.counters.end() && cut->second > 0);
  // A VM that did not even start has no records.
  if (!output) return out;
  out.ktap = output->ktap;
  result.verdict = judge_selftest(std::move(result.verdict), out.test, *output);
  if (auto written = write_trial(out.trial); !written) return tl::make_unexpected(written.error());
  return out;
}

std::string headline(const TestTrial& done) {
  const Verdict& verdict = done.trial.result.verdict;
  if (verdict.outcome != Outcome::kFound || verdict.findings.empty()) return verdict.reason;
  std::string title = verdict.findings.front().title;
  if (title.starts_with(done.test + ": ")) title.erase(0, done.test.size() + 2);
  const std::size_t more = verdict.findings.size() - 1;
  return more == 0 ? title : fmt::format("{} (and {} more)", title, more);
}

void print_test(const Session& session, const TestTrial& done) {
  std::FILE* out = session.human();
  const TrialResult& result = done.trial.result;
  const std::string counts = to_string(done.ktap);
  std::string text = result.verdict.outcome == Outcome::kPassed
                         ? (counts.empty() ? "exit status 0, no KTAP" : counts)
                         : one_line(headline(done));
  if (result.verdict.outcome == Outcome::kFound && !counts.empty()) text += "; " + counts;
  if (result.wall_seconds > 0) text += fmt::format(", {:.1f} s", result.summary.time_s);
  fmt::print(out, "  {:<32} {} {}\n", one_line(done.test),
             outcome_word(result.verdict.outcome, wants_colour(out)), text);
  const bool bad =
      result.verdict.outcome == Outcome::kFound || result.verdict.outcome == Outcome::kBroken;
  if (bad) {
    fmt::print(out, "    report: {}\n    again:  {}\n", (result.directory / "report.txt").string(),
               done.trial.plan.repeat_command);
  }
  std::fflush(out);
}

int number_of(const std::vector<TestTrial>& trials, Outcome outcome) {
  return static_cast<int>(std::count_if(trials.begin(), trials.end(), [&](const TestTrial& done) {
    return done.trial.result.verdict.outcome == outcome;
  }));
}

// As kselftest itself: skipped as a whole only if all were.
int exit_code_of(const std::vector<TestTrial>& trials) {
  if (number_of(trials, Outcome::kBroken) > 0) return kExitBroken;
  if (number_of(trials, Outcome::kFound) > 0) return kExitUnexpected;
  return number_of(trials, Outcome::kPassed) > 0 ? kExitExpected : kExitSkipped;
}

nlohmann::json to_json(const TestTrial& done) {
  nlohmann::json out = verdict_json(done.trial);
  out["test"] = done.test;
  out["ktap"] = {{"spoken", done.ktap.any},
                 {"passed", done.ktap.passed},
                 {"failed", done.ktap.failed},
                 {"skipped", done.ktap.skipped},
                 {"expected", done.ktap.expected},
                 {"failures", done.ktap.failures},
                 {"plan_faults", done.ktap.plan_faults},
                 {"cut", done.ktap.cut}};
  return out;
}

void print_results(const std::vector<TestTrial>& trials, const KselftestOptions& options,
                   bool as_json) {
  if (options.ktap) {
    std::vector<KtapEntry> entries;
    entries.reserve(trials.size());
    for (const TestTrial& done : trials) {
      entries.push_back({done.trial.result.verdict.outcome, done.test, headline(done),
                         done.trial.plan.repeat_command});
    }
    fmt::print("{}", ktap_document(entries));
  } else if (as_json) {
    nlohmann::json out = nlohmann::json::array();
    for (const TestTrial& done : trials) out.push_back(to_json(done));
    fmt::print("{}\n", out.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
  }
}

Result<std::vector<TestTrial>> run_tests(Session& session, const Run& run) {
  std::vector<TestTrial> done;
  for (std::size_t test = 0; test < run.tests.size(); ++test) {
    for (int i = 0; i < run.repro.trials && !interrupted(); ++i) {
      auto ran = run_test(session, run, test, i);
      if (!ran) return tl::make_unexpected(ran.error());
      print_test(session, *ran);
      done.push_back(std::move(*ran));
    }
  }
  return done;
}

}  // namespace

int repro_kselftest(const CommonOptions& common, const ReproOptions& repro,
                    const KselftestOptions& options) {
  CommonOptions quiet = common;
  // What belongs to a person goes to stderr.
  quiet.json = common.json || options.ktap;
  auto session = Session::open(quiet);
  if (!session) return fail(session.error());
  auto run = plan_run(**session, common, repro, options);
  if (!run) return interrupted() ? interrupted_exit_code() : fail(run.error());
  fmt::print((*session)->human(), "kselftest {}: {} tests on {}, {}\n", options.directory.string(),
             run->tests.size(), run->plan.kernel.name, run->plan.machine.name);
  auto trials = run_tests(**session, *run);
  std::error_code ignored;  // it is large, and made anew by every run
  std::filesystem::remove(run->plan.initramfs, ignored);
  if (!trials) return fail(trials.error());
  fmt::print((*session)->human(), "  {} passed, {} found, {} skipped, {} broken; files: {}\n",
             number_of(*trials, Outcome::kPassed), number_of(*trials, Outcome::kFound),
             number_of(*trials, Outcome::kSkipped), number_of(*trials, Outcome::kBroken),
             run->root.string());
  print_results(*trials, options, common.json);
  return interrupted() ? interrupted_exit_code() : exit_code_of(*trials);
}

}  // namespace mmquake
