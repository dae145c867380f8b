// SPDX-License-Identifier: GPL-2.0-or-later
//
// mmquake score: every case on the kernel with its bug put back, and on the clean one.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <random>

#include "host/campaign/score.h"
#include "host/cli/case_sides.h"
#include "host/cli/commands.h"
#include "host/cli/interrupt.h"
#include "host/cli/status_line.h"

namespace mmquake {
namespace {

// --quick gives a bug that shows in nine trials of ten three chances: one in a thousand escapes.
constexpr int kQuickChances = 3;

struct PlannedCase {
  CaseSpec spec;
  std::vector<Side> sides;
  std::vector<TrialPlan> plans;
  std::string skipped;   // why there is nothing to run
  std::string left_out;  // why it is not run; then there are no plans
};

struct Scores {
  std::vector<CaseScore> cases;
  std::vector<std::string> lines;  // a verdict line for each trial, for report.txt
  std::filesystem::path directory;
  std::uint64_t seed = 0;
};

// Why --no-build leaves the case out; empty: all its kernels are built.
Result<std::string> why_left_out(Session& session, const std::vector<Side>& sides) {
  for (const Side& side : sides) {
    auto kernel = session.catalogue().kernel(side.kernel);
    if (!kernel) return tl::make_unexpected(kernel.error());
    if (session.kernels().find(*kernel)) continue;
    return fmt::format("kernel '{0}' is not built (mmquake kernel build {0})", side.kernel);
  }
  return std::string();
}

// What a case runs on, as far as this catalogue has it.
Result<PlannedCase> plan_case(Session& session, const ScoreOptions& options, CaseSpec spec) {
  PlannedCase planned;
  planned.spec = spec;
  if (!options.series.empty()) {
    auto moved = in_series(session.catalogue(), std::move(spec), options.series);
    if (!moved && moved.error().kind == ErrorKind::kSkipped) {
      planned.skipped = moved.error().message;
      return planned;
    }
    if (!moved) return tl::make_unexpected(moved.error());
    planned.spec = std::move(*moved);
  }
  planned.sides = sides_of(planned.spec, 0, options.clean_seconds);
  if (!options.kernel.empty()) {
    planned.sides = {{options.kernel, options.kernel, {}, options.clean_seconds, false}};
  }
  if (options.no_build) {
    auto why = why_left_out(session, planned.sides);
    if (!why) return tl::make_unexpected(why.error());
    planned.left_out = std::move(*why);
    if (!planned.left_out.empty()) return planned;
  }
  for (const Side& side : planned.sides) {
    auto plan = plan_side(session, planned.spec, side, {});
    if (!plan) return tl::make_unexpected(plan.error());
    planned.plans.push_back(std::move(*plan));
  }
  return planned;
}

// All names and kernels first: nobody wants to learn of a mistyped name after half an hour.
Result<std::vector<PlannedCase>> plan_cases(Session& session, const ScoreOptions& options) {
  const std::vector<std::string> series = series_names(session.catalogue());
  if (!options.series.empty() &&
      std::find(series.begin(), series.end(), options.series) == series.end()) {
    return tl::make_unexpected(unknown_name("series", options.series, series));
  }
  std::vector<std::string> names = options.cases;
  if (names.empty()) names = session.catalogue().case_names();
  std::vector<PlannedCase> out;
  for (const std::string& name : names) {
    auto spec = session.catalogue().find_case(name);
    if (!spec) return tl::make_unexpected(spec.error());
    auto planned = plan_case(session, options, std::move(*spec));
    if (!planned) {
      planned.error().message = fmt::format("case '{}': {}", name, planned.error().message);
      return tl::make_unexpected(planned.error());
    }
    out.push_back(std::move(*planned));
  }
  return out;
}

// Runs the trials of one side. On the bug side of a quick score, until one has found it.
Result<std::vector<ScoredTrial>> score_side(Session& session, const ScoreOptions& options,
                                            const PlannedCase& planned, std::size_t which,
                                            Scores& scores) {
  const Side& side = planned.sides[which];
  const bool until_found = options.quick && side.must_find;
  const int trials = until_found ? kQuickChances : options.quick ? 1 : options.trials;
  std::vector<ScoredTrial> out;
  for (int i = 0; i < trials && !interrupted(); ++i) {
    TrialPlace place;
    place.directory = scores.directory;
    place.name =
        fmt::format("{}-{}-{:03}", planned.spec.name, side.must_find ? "bug" : "clean", i + 1);
    place.number = i + 1;
    place.of = trials;
    place.seed = scores.seed + static_cast<std::uint64_t>(i);
    place.repeat_command = side_repeat_command(session.options(), planned.spec, side, place.seed);
    auto ran = run_side_trial(session, side, planned.plans[which], place);
    if (!ran) return tl::make_unexpected(ran.error());
    ScoredTrial scored;
    scored.as_expected = is_expected(planned.spec, side, ran->result);
    scored.outcome = ran->result.verdict.outcome;
    scored.seconds = seconds_until_verdict(ran->result);
    scored.rounds = ran->result.summary.rounds;
    const std::string line = verdict_line(*ran, false);
    scores.lines.push_back(fmt::format("{:<28} {}{}", planned.spec.name, line,
                                       scored.as_expected ? "" : "  <- not as expected"));
    if (!scored.as_expected) {
      const std::string report = (ran->result.directory / "report.txt").string();
      scored.unexpected = fmt::format("{} ({})", line, report);
      fmt::print(session.human(), "  {}\n    report: {}\n    again:  {}\n", scores.lines.back(),
                 report, place.repeat_command);
    }
    out.push_back(std::move(scored));
    if (until_found && out.back().as_expected) break;
  }
  return out;
}

double wanted(const ScoreOptions& options) {
  return options.quick ? 0 : kScoreWanted;
}

std::size_t longest_name(const std::vector<PlannedCase>& cases) {
  std::size_t width = 4;
  for (const PlannedCase& planned : cases) width = std::max(width, planned.spec.name.size());
  return width;
}

Result<Scores> run_score(Session& session, const ScoreOptions& options) {
  auto cases = plan_cases(session, options);
  if (!cases) return tl::make_unexpected(cases.error());
  auto directory = session.run_directory("score");
  if (!directory) return tl::make_unexpected(directory.error());
  Scores scores;
  scores.directory = *directory;
  scores.seed = options.seed != 0 ? options.seed : std::random_device{}();
  // A case's row as soon as it is known.
  const std::size_t width = longest_name(*cases);
  fmt::print(session.human(), "{}", score_header(width));
  for (const PlannedCase& planned : *cases) {
    if (interrupted()) break;
    CaseScore score;
    score.name = planned.spec.name;
    score.skipped = planned.skipped;
    score.left_out = planned.left_out;
    for (const Side& side : planned.sides) {
      (side.must_find ? score.bug_kernel : score.clean_kernel) = side.kernel;
    }
    for (std::size_t side = 0; side < planned.plans.size(); ++side) {
      auto trials = score_side(session, options, planned, side, scores);
      if (!trials) return tl::make_unexpected(trials.error());
      (planned.sides[side].must_find ? score.bug : score.clean) = std::move(*trials);
    }
    if (!interrupted()) {
      fmt::print(session.human(), "{}", score_row(score, width, wanted(options)));
      std::fflush(session.human());
    }
    scores.cases.push_back(std::move(score));
  }
  return scores;
}

int exit_code_of(const Scores& scores, const ScoreOptions& options) {
  // Not one was run: nothing that could be good.
  const bool none = std::all_of(scores.cases.begin(), scores.cases.end(),
                                [](const CaseScore& score) { return !score.left_out.empty(); });
  int code = none ? kExitSkipped : kExitExpected;
  for (const CaseScore& score : scores.cases) {
    switch (score_of(score, wanted(options))) {
      case ScoreResult::kBroken:
        return kExitBroken;
      case ScoreResult::kMissed:
      case ScoreResult::kAccused:
        code = kExitUnexpected;
        break;
      case ScoreResult::kSkipped:
        if (code == kExitExpected) code = kExitSkipped;
        break;
      case ScoreResult::kGood:
      case ScoreResult::kLeftOut:
        break;
    }
  }
  return code;
}

std::string whole_report(const Scores& scores, const ScoreOptions& options) {
  std::string out = score_table(scores.cases, wanted(options)) + "\n";
  for (const std::string& line : scores.lines) out += line + "\n";
  return out;
}

}  // namespace

int score_cases(const CommonOptions& common, const ScoreOptions& options) {
  auto session = Session::open(common);
  if (!session) return fail(session.error());
  auto scores = run_score(**session, options);
  if (!scores) return interrupted() ? interrupted_exit_code() : fail(scores.error());
  const std::filesystem::path report = scores->directory / "report.txt";
  if (auto written = write_file(report, whole_report(*scores, options)); !written) {
    return fail(written.error());
  }
  std::FILE* out = (*session)->human();
  fmt::print(out, "report: {}     seed: {}\n", report.string(), scores->seed);
  if (common.json) {
    const nlohmann::json whole = {{"report", report.string()},
                                  {"seed", scores->seed},
                                  {"quick", options.quick},
                                  {"cases", score_json(scores->cases, wanted(options))}};
    fmt::print("{}\n", whole.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
  }
  return interrupted() ? interrupted_exit_code() : exit_code_of(*scores, options);
}

}  // namespace mmquake
