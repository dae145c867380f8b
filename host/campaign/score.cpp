// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/campaign/score.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "host/campaign/rates.h"

namespace mmquake {
namespace {

struct Tally {
  std::uint64_t trials = 0, expected = 0, rounds = 0;
  double time = 0;              // of all trials
  std::vector<double> seconds;  // of those that did as they should
};

Tally tally(const std::vector<ScoredTrial>& trials) {
  Tally out;
  for (const ScoredTrial& trial : trials) {
    ++out.trials;
    out.rounds += trial.rounds;
    out.time += trial.seconds;
    if (!trial.as_expected) continue;
    ++out.expected;
    out.seconds.push_back(trial.seconds);
  }
  return out;
}

bool any(const std::vector<ScoredTrial>& trials, Outcome outcome) {
  return std::any_of(trials.begin(), trials.end(),
                     [&](const ScoredTrial& trial) { return trial.outcome == outcome; });
}

std::string of(const Tally& tally) {
  return tally.trials == 0 ? "-" : fmt::format("{} of {}", tally.expected, tally.trials);
}

nlohmann::json side_json(const std::string& kernel, const std::vector<ScoredTrial>& trials,
                         const Tally& tally) {
  const Interval interval = probability_interval(tally.expected, tally.trials);
  nlohmann::json out = {{"kernel", kernel},
                        {"trials", tally.trials},
                        {"as_expected", tally.expected},
                        {"probability_low", interval.low},
                        {"probability_high", interval.high},
                        {"rounds", tally.rounds},
                        {"seconds", tally.time}};
  for (const ScoredTrial& trial : trials) {
    if (!trial.as_expected) out["unexpected"].push_back(trial.unexpected);
  }
  return out;
}

}  // namespace

std::string_view to_string(ScoreResult result) {
  switch (result) {
    case ScoreResult::kGood:
      return "good";
    case ScoreResult::kMissed:
      return "MISSED";
    case ScoreResult::kAccused:
      return "ACCUSED A CLEAN KERNEL";
    case ScoreResult::kBroken:
      return "BROKEN";
    case ScoreResult::kSkipped:
      return "skipped";
    case ScoreResult::kLeftOut:
      return "left out";
  }
  return "?";
}

ScoreResult score_of(const CaseScore& score, double wanted) {
  if (!score.left_out.empty()) return ScoreResult::kLeftOut;
  if (any(score.bug, Outcome::kBroken) || any(score.clean, Outcome::kBroken)) {
    return ScoreResult::kBroken;
  }
  if (any(score.clean, Outcome::kFound)) return ScoreResult::kAccused;
  if (!score.skipped.empty() || any(score.bug, Outcome::kSkipped) ||
      any(score.clean, Outcome::kSkipped)) {
    return ScoreResult::kSkipped;
  }
  const Tally bug = tally(score.bug);
  if (bug.trials == 0 && !score.clean.empty()) return ScoreResult::kGood;
  // In whole trials: 9 of 10 is enough for 0.9, whatever 0.9 * 10 is in binary.
  const double needed = wanted * static_cast<double>(bug.trials) - 1e-9;
  if (bug.expected == 0 || static_cast<double>(bug.expected) < needed) return ScoreResult::kMissed;
  return ScoreResult::kGood;
}

std::string score_row(const CaseScore& score, std::size_t width, double wanted) {
  if (!score.left_out.empty()) {
    return fmt::format("{:<{}}  left out: {}\n", score.name, width, score.left_out);
  }
  const Tally bug = tally(score.bug);
  const Tally clean = tally(score.clean);
  std::string after = "-";
  if (!bug.seconds.empty()) {
    after =
        fmt::format("{:.1f}, {:.1f} s", percentile(bug.seconds, 0.5), percentile(bug.seconds, 0.9));
  }
  std::string line = fmt::format("{:<{}}  {:<9} {:<13} {:<9} {:>9}  {:<24}", score.name, width,
                                 of(bug), after, of(clean), clean.rounds, bound_text(clean.time));
  const ScoreResult result = score_of(score, wanted);
  if (result != ScoreResult::kGood) line += fmt::format("  {}", to_string(result));
  if (!score.skipped.empty()) line += ": " + score.skipped;
  while (line.back() == ' ') line.pop_back();
  return line + "\n";
}

std::string score_header(std::size_t width) {
  return fmt::format("{:<{}}  {:<9} {:<13} {:<9} {:>9}  {}\n", "case", width, "found", "after",
                     "passed", "rounds", "a clean kernel then has");
}

std::string score_table(const std::vector<CaseScore>& scores, double wanted) {
  std::size_t width = 4;
  for (const CaseScore& score : scores) width = std::max(width, score.name.size());
  std::string out = score_header(width);
  for (const CaseScore& score : scores) out += score_row(score, width, wanted);
  return out;
}

nlohmann::json score_json(const std::vector<CaseScore>& scores, double wanted) {
  nlohmann::json out = nlohmann::json::array();
  for (const CaseScore& score : scores) {
    const Tally bug = tally(score.bug);
    const Tally clean = tally(score.clean);
    nlohmann::json found = side_json(score.bug_kernel, score.bug, bug);
    found["seconds_median"] = percentile(bug.seconds, 0.5);
    found["seconds_90"] = percentile(bug.seconds, 0.9);
    nlohmann::json passed = side_json(score.clean_kernel, score.clean, clean);
    if (clean.time > 0) passed["findings_per_hour_below"] = rate_below(0, clean.time / 3600);
    nlohmann::json row = {{"case", score.name},
                          {"result", std::string(to_string(score_of(score, wanted)))},
                          {"bug", found},
                          {"clean", passed}};
    if (!score.skipped.empty()) row["skipped"] = score.skipped;
    if (!score.left_out.empty()) row["reason"] = score.left_out;
    out.push_back(std::move(row));
  }
  return out;
}

}  // namespace mmquake
