// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <random>

#include "host/campaign/rates.h"
#include "host/cli/case_sides.h"
#include "host/cli/commands.h"
#include "host/cli/interrupt.h"
#include "host/cli/status_line.h"

namespace mmquake {
namespace {

struct Outcomes {
  std::vector<ReportedTrial> trials;
  std::vector<bool> as_expected;
  std::vector<std::string> summaries;  // one a side, with several trials
  std::filesystem::path directory;
  std::string again;
};

// --kernel leaves one side: with --bugs it must find, without it must pass.
std::vector<Side> sides_asked_for(const CaseSpec& spec, const ReproOptions& options) {
  if (options.kernel.empty()) return sides_of(spec, options.seconds, options.seconds);
  const bool bug = !options.bugs.empty();
  return {{bug ? "bug put back" : options.kernel, options.kernel, options.bugs,
           options.seconds > 0 ? options.seconds
           : bug               ? spec.bug_seconds
                               : spec.clean_seconds,
           bug}};
}

std::string repeat_command(const CommonOptions& common, const ReproOptions& options,
                           std::uint64_t seed) {
  std::string out = fmt::format("{} repro {} --seed {}", shell_word(common.program),
                                shell_word(options.case_name), seed);
  if (!options.kernel.empty()) out += " --kernel " + shell_word(options.kernel);
  if (!options.machine.empty()) out += " --machine " + shell_word(options.machine);
  if (options.seconds > 0) out += fmt::format(" --seconds {}", options.seconds);
  for (const std::string& param : options.params) out += " --param " + shell_word(param);
  for (const std::string& bug : options.bugs) out += " --bugs " + shell_word(bug);
  return out + vm_options_text(common);
}

// What --trials is for: "found in 10 of 10 trials, after 2.1 s (median), 4.0 s (most)".
std::string side_summary(const Side& side, const Outcomes& outcomes, std::size_t first) {
  std::vector<double> seconds;
  std::uint64_t rounds = 0;
  double time = 0;
  for (std::size_t i = first; i < outcomes.trials.size(); ++i) {
    const TrialResult& result = outcomes.trials[i].result;
    rounds += result.summary.rounds;
    time += result.summary.time_s;
    if (outcomes.as_expected[i]) seconds.push_back(seconds_until_verdict(result));
  }
  const std::size_t trials = outcomes.trials.size() - first;
  std::string out = fmt::format("  {}: {} {} of {} trials", side.label,
                                side.must_find ? "found in" : "passed", seconds.size(), trials);
  if (!side.must_find) {
    return out + fmt::format(", {} rounds, {}", thousands(rounds), bound_text(time));
  }
  if (seconds.empty()) return out;
  return out + fmt::format(", after {:.1f} s (median), {:.1f} s (most)", percentile(seconds, 0.5),
                           percentile(seconds, 1));
}

TrialPlace place_of(const Session& session, const Side& side, const ReproOptions& options,
                    const std::filesystem::path& directory, std::uint64_t first_seed, int index) {
  TrialPlace place;
  place.directory = directory;
  place.name = fmt::format("{}-{:03}", side.must_find ? "bug" : "clean", index + 1);
  place.number = index + 1;
  place.of = options.trials;
  place.seed = first_seed + static_cast<std::uint64_t>(index);
  place.repeat_command = repeat_command(session.options(), options, place.seed);
  return place;
}

Result<> run_side(Session& session, const CaseSpec& spec, const Side& side,
                  const ReproOptions& options, const TrialPlan& plan, std::uint64_t first_seed,
                  Outcomes& outcomes) {
  const std::size_t first = outcomes.trials.size();
  for (int i = 0; i < options.trials && !interrupted(); ++i) {
    auto ran = run_side_trial(session, side, plan,
                              place_of(session, side, options, outcomes.directory, first_seed, i));
    if (!ran) return tl::make_unexpected(ran.error());
    const bool expected = is_expected(spec, side, ran->result);
    std::FILE* out = session.human();
    fmt::print(out, "  {}{}\n", verdict_line(*ran, wants_colour(out)),
               expected ? ""
               : side.must_find
                   ? fmt::format("  <- expected '{}'", fmt::join(spec.expect_titles, "' or '"))
                   : "  <- expected to pass");
    std::fflush(out);
    outcomes.as_expected.push_back(expected);
    outcomes.trials.push_back(std::move(*ran));
  }
  if (options.trials > 1) {
    outcomes.summaries.push_back(side_summary(side, outcomes, first));
    fmt::print(session.human(), "{}\n", outcomes.summaries.back());
  }
  return {};
}

Result<Outcomes> reproduce(Session& session, const ReproOptions& options) {
  auto spec = session.catalogue().find_case(options.case_name);
  if (!spec) return tl::make_unexpected(spec.error());
  Outcomes outcomes;
  const std::uint64_t seed = options.seed != 0 ? options.seed : std::random_device{}();
  outcomes.again = repeat_command(session.options(), options, seed);
  if (options.trials > 1) outcomes.again += fmt::format(" --trials {}", options.trials);
  // Both kernels first: nobody wants to wait for a build between the two verdicts.
  const std::vector<Side> sides = sides_asked_for(*spec, options);
  auto params = parse_params(options.params);
  if (!params) return tl::make_unexpected(params.error());
  std::vector<TrialPlan> plans;
  for (const Side& side : sides) {
    auto plan = plan_side(session, *spec, side, {options.machine, *params});
    if (!plan) return tl::make_unexpected(plan.error());
    plan->dump = options.dump;
    plans.push_back(std::move(*plan));
  }
  // Not before: a mistyped name leaves no directory behind.
  auto directory = session.run_directory(spec->name);
  if (!directory) return tl::make_unexpected(directory.error());
  outcomes.directory = *directory;
  fmt::print(session.human(), "case {:<24} ({})\n", spec->name, spec->summary);
  for (std::size_t i = 0; i < sides.size() && !interrupted(); ++i) {
    if (auto ran = run_side(session, *spec, sides[i], options, plans[i], seed, outcomes); !ran) {
      return tl::make_unexpected(ran.error());
    }
  }
  return outcomes;
}

int debug_case(Session& session, const ReproOptions& options) {
  auto spec = session.catalogue().find_case(options.case_name);
  if (!spec) return fail(spec.error());
  const Side side = sides_asked_for(*spec, options).front();
  auto params = parse_params(options.params);
  if (!params) return fail(params.error());
  auto plan = plan_side(session, *spec, side, {options.machine, *params});
  if (!plan) return fail(plan.error());
  auto directory = session.run_directory(spec->name);
  if (!directory) return fail(directory.error());
  const std::uint64_t seed = options.seed != 0 ? options.seed : std::random_device{}();
  const TrialPlace place = place_of(session, side, options, *directory, seed, 0);
  return debug_trial(session, side_trial(side, *plan, place).plan, side.kernel, options.debug);
}

// Text for report.txt of the whole run: the verdict lines, then each trial's report.
std::string whole_report(const ReproOptions& options, const Outcomes& outcomes) {
  std::string out = fmt::format("mmquake repro {}\n\n", options.case_name);
  for (const ReportedTrial& trial : outcomes.trials) {
    out += "  " + verdict_line(trial, false) + "\n";
  }
  for (const std::string& summary : outcomes.summaries) out += summary + "\n";
  out += "\nagain: " + outcomes.again + "\n";
  for (const ReportedTrial& trial : outcomes.trials) {
    out += "\n" + std::string(72, '-') + "\n" + trial_report(trial);
  }
  return out;
}

int exit_code_of(const Outcomes& outcomes) {
  int code = kExitExpected;
  for (std::size_t i = 0; i < outcomes.trials.size(); ++i) {
    if (outcomes.as_expected[i]) continue;
    const Outcome outcome = outcomes.trials[i].result.verdict.outcome;
    if (outcome == Outcome::kBroken) return kExitBroken;
    if (outcome == Outcome::kSkipped) {
      code = code == kExitExpected ? kExitSkipped : code;
    } else {
      code = kExitUnexpected;
    }
  }
  return code;
}

}  // namespace

int repro_case(const CommonOptions& common, const ReproOptions& options) {
  auto session = Session::open(common);
  if (!session) return fail(session.error());
  if (options.debug.wanted) return debug_case(**session, options);
  auto outcomes = reproduce(**session, options);
  if (!outcomes) return interrupted() ? interrupted_exit_code() : fail(outcomes.error());
  const std::filesystem::path report = outcomes->directory / "report.txt";
  if (auto written = write_file(report, whole_report(options, *outcomes)); !written) {
    return fail(written.error());
  }
  fmt::print((*session)->human(), "report: {}     again: {}\n", report.string(), outcomes->again);
  if (common.json) {
    nlohmann::json out = nlohmann::json::array();
    for (std::size_t i = 0; i < outcomes->trials.size(); ++i) {
      nlohmann::json trial = verdict_json(outcomes->trials[i]);
      trial["side"] = outcomes->trials[i].side;
      trial["as_expected"] = static_cast<bool>(outcomes->as_expected[i]);
      out.push_back(std::move(trial));
    }
    const nlohmann::json whole = {{"case", options.case_name},
                                  {"report", report.string()},
                                  {"again", outcomes->again},
                                  {"trials", out}};
    fmt::print("{}\n", whole.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
  }
  return interrupted() ? interrupted_exit_code() : exit_code_of(*outcomes);
}

}  // namespace mmquake
