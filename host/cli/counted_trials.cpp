// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/cli/counted_trials.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "host/campaign/rates.h"
#include "host/cli/interrupt.h"

namespace mmquake {
namespace {

constexpr int kBrokenInARow = 3;

}  // namespace

void FoundCount::add(const Glimpse& seen) {
  ++trials;
  if (seen.says != Glimpse::Says::kFound) return;
  ++hits;
  seconds.push_back(seen.seconds);
}

std::string count_text(const FoundCount& count) {
  const Interval likely = probability_interval(count.hits, count.trials);
  std::string out = fmt::format("{} of {} trials ({:.2f} to {:.2f} at {:.0f} %)", count.hits,
                                count.trials, likely.low, likely.high, 100 * kConfidence);
  if (count.hits > 0) {
    out += fmt::format(", after {:.1f} s (median)", percentile(count.seconds, 0.5));
  }
  return out;
}

nlohmann::json count_json(const FoundCount& count) {
  const Interval likely = probability_interval(count.hits, count.trials);
  nlohmann::json out = {
      {"hits", count.hits}, {"trials", count.trials}, {"low", likely.low}, {"high", likely.high}};
  if (count.hits > 0) out["median_seconds"] = percentile(count.seconds, 0.5);
  return out;
}

Result<ReportedTrial> run_unbroken(Session& session, const std::string& label,
                                   const std::function<ReportedTrial()>& next,
                                   const std::function<bool(const Verdict&)>& is_answer) {
  std::string reason;
  for (int broke = 0; broke < kBrokenInARow; ++broke) {
    if (interrupted()) return broken("interrupted");
    auto ran = session.run(next());
    if (!ran) return ran;
    fmt::print(session.human(), "  {}: {}\n", label, verdict_line(*ran, false));
    std::fflush(session.human());
    const Verdict& verdict = ran->result.verdict;
    if (verdict.outcome != Outcome::kBroken || is_answer(verdict)) return ran;
    reason = verdict.reason;
  }
  return broken(fmt::format("{} trials in a row broke: {}", kBrokenInARow, reason));
}

}  // namespace mmquake
