// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <random>

#include "guest/protocol/composition.h"
#include "host/cli/commands.h"
#include "host/cli/interrupt.h"
#include "host/cli/status_line.h"
#include "host/plan/widen_text.h"

namespace mmquake {
namespace {

int exit_code_of(const std::vector<ReportedTrial>& trials) {
  // Broken first: nothing else that this run says can be trusted to be complete.
  for (Outcome outcome : {Outcome::kBroken, Outcome::kFound, Outcome::kSkipped}) {
    for (const ReportedTrial& trial : trials) {
      if (trial.result.verdict.outcome != outcome) continue;
      return outcome == Outcome::kBroken  ? kExitBroken
             : outcome == Outcome::kFound ? kExitUnexpected
                                          : kExitSkipped;
    }
  }
  return kExitExpected;
}

void print_trial(const Session& session, const ReportedTrial& trial) {
  std::FILE* out = session.human();
  fmt::print(out, "  {}\n", verdict_line(trial, wants_colour(out)));
  const std::string tables =
      counter_tables(trial.result.summary.counters, trial.result.summary.time_s);
  if (!tables.empty()) fmt::print(out, "\n{}\n", tables);
  fmt::print(out, "    report: {}\n    again:  {}\n",
             (trial.result.directory / "report.txt").string(), trial.plan.repeat_command);
  std::fflush(out);
}

// Everything but the trial's number.
struct PlannedRun {
  TrialPlan plan;
  std::filesystem::path root;
  std::uint64_t seed = 0;  // of the first trial
};

Result<PlannedRun> plan_run(Session& session, const RunOptions& options) {
  auto guest = guest_plan(session, options);
  if (!guest) return tl::make_unexpected(guest.error());
  auto root = session.run_directory(options.workload);
  if (!root) return tl::make_unexpected(root.error());
  std::optional<Payload> payload;
  if (options.payload) {
    auto prepared = prepare_payload(*options.payload, *root);
    if (!prepared) return tl::make_unexpected(prepared.error());
    payload = *prepared;
  }
  auto plan = session.prepare(options.kernel, options.machine, options.bugs, payload);
  if (!plan) {
    std::error_code kept;  // a folder that holds something stays
    std::filesystem::remove(*root, kept);
    return tl::make_unexpected(plan.error());
  }
  plan->guest = *guest;
  plan->dump = options.dump;
  return PlannedRun{std::move(*plan), *root,
                    options.seed != 0 ? options.seed : std::random_device{}()};
}

ReportedTrial trial_of(const Session& session, const RunOptions& options, const PlannedRun& run,
                       int index) {
  ReportedTrial trial;
  trial.plan = run.plan;
  trial.side = options.bugs.empty() ? run.plan.kernel.name : "bug put back";
  trial.number = index + 1;
  trial.of = options.trials;
  trial.plan.guest.seed = run.seed + static_cast<std::uint64_t>(index);
  trial.plan.name = fmt::format("trial-{:03}", index + 1);
  trial.plan.directory = run.root / trial.plan.name;
  trial.plan.repeat_command = run_repeat_command(session.options(), options, trial.plan.guest.seed);
  return trial;
}

Result<std::vector<ReportedTrial>> run_trials(Session& session, const RunOptions& options) {
  const auto run = plan_run(session, options);
  if (!run) return tl::make_unexpected(run.error());
  std::vector<ReportedTrial> done;
  for (int i = 0; i < options.trials && !interrupted(); ++i) {
    auto ran = session.run(trial_of(session, options, *run, i));
    if (!ran) return tl::make_unexpected(ran.error());
    print_trial(session, *ran);
    done.push_back(std::move(*ran));
  }
  return done;
}

int debug_run(Session& session, const RunOptions& options) {
  const auto run = plan_run(session, options);
  if (!run) return fail(run.error());
  return debug_trial(session, trial_of(session, options, *run, 0).plan, options.kernel,
                     options.debug);
}

}  // namespace

Result<GuestPlan> guest_plan(const Session& session, const RunOptions& options) {
  GuestPlan guest;
  auto params = parse_params(options.params);
  if (!params) return tl::make_unexpected(params.error());
  if (auto fits = session.workloads().check_params(options.workload, *params); !fits) {
    return tl::make_unexpected(fits.error());
  }
  if (options.workload == kComposeWorkload) {
    if (const auto wrong = objection(Composition::from_params(*params))) {
      return usage(*wrong + " (mmquake compose --space shows what goes together)");
    }
  }
  guest.workload = options.workload;
  guest.params = *params;
  guest.seconds = options.seconds;
  for (const std::string& text : options.widen) {
    auto site = parse_widen(text);
    if (!site) return tl::make_unexpected(site.error());
    guest.widen.push_back(*site);
  }
  return guest;
}

std::string run_repeat_command(const CommonOptions& common, const RunOptions& options,
                               std::uint64_t seed) {
  const std::string what = options.payload
                               ? fmt::format("repro --{} {}", to_string(options.payload->kind),
                                             shell_word(options.payload->file.string()))
                               : "run " + options.workload;
  std::string out = fmt::format("{} {} --kernel {} --machine {} --seconds {} --seed {}",
                                shell_word(common.program), what, shell_word(options.kernel),
                                shell_word(options.machine), options.seconds, seed);
  for (const std::string& param : options.params) out += " --param " + shell_word(param);
  for (const std::string& bug : options.bugs) out += " --bugs " + shell_word(bug);
  for (const std::string& site : options.widen) out += " --widen " + shell_word(site);
  return out + vm_options_text(common);
}

int run_workload(const CommonOptions& common, const RunOptions& options) {
  auto session = Session::open(common);
  if (!session) return fail(session.error());
  if (options.debug.wanted) return debug_run(**session, options);
  auto trials = run_trials(**session, options);
  if (!trials) return interrupted() ? interrupted_exit_code() : fail(trials.error());
  if (common.json) {
    nlohmann::json out = nlohmann::json::array();
    for (const ReportedTrial& trial : *trials) out.push_back(verdict_json(trial));
    fmt::print("{}\n", out.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
  }
  return interrupted() ? interrupted_exit_code() : exit_code_of(*trials);
}

int repro_program(const CommonOptions& common, const ReproOptions& options) {
  RunOptions run;
  run.workload = "program";
  run.payload = options.payload;
  run.payload->file = std::filesystem::absolute(run.payload->file);
  if (!options.kernel.empty()) run.kernel = options.kernel;
  if (!options.machine.empty()) run.machine = options.machine;
  if (options.seconds > 0) run.seconds = options.seconds;
  run.seed = options.seed;
  run.trials = options.trials;
  run.params = options.params;
  run.bugs = options.bugs;
  run.widen = options.widen;
  run.dump = options.dump;
  run.debug = options.debug;
  return run_workload(common, run);
}

}  // namespace mmquake
