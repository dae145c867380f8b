// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/bisect/repeat.h"

#include <fmt/format.h>

#include "host/campaign/schedule.h"

namespace mmquake::bisect {

Result<CommitAnswer> test_commit(KernelTester& tester, const Commit& commit,
                                 const RepeatSettings& settings, BisectionListener& listener) {
  const auto say = [&](const std::string& what) {
    return [&listener, what](const std::string& text) { listener.on_status(what + ": " + text); };
  };
  CommitAnswer out;
  auto built = tester.build(commit, say("build"));
  if (!built) return tl::make_unexpected(built.error());
  listener.on_build(0, *built);
  if (built->end == BuildEnd::kSkipped) {
    out.verdict = CommitVerdict::kUntestable;
    out.reason = built->reason;
    return out;
  }
  std::uint32_t broken = 0;
  std::uint32_t foreign = 0;
  for (std::uint32_t number = 1; out.passed < settings.trials; ++number) {
    auto trial = tester.trial(commit, number, trial_seed(settings.seed, number),
                              say(fmt::format("trial {}", number)));
    if (!trial) return tl::make_unexpected(trial.error());
    listener.on_trial(0, *trial);
    const bool counts = settings.signature.empty() || trial->signature == settings.signature;
    if (trial->end == TrialEnd::kFound && counts) {
      out.verdict = CommitVerdict::kBad;
      out.signature = trial->signature;
      return out;
    }
    if (trial->end == TrialEnd::kSkipped) {
      out.verdict = CommitVerdict::kUntestable;
      out.reason = trial->reason;
      return out;
    }
    broken = trial->end == TrialEnd::kBroken ? broken + 1 : 0;
    foreign = trial->end == TrialEnd::kFound ? foreign + 1 : 0;
    if (broken >= settings.limits.broken_limit) {
      out.reason = trial->reason;
      return out;
    }
    if (foreign >= settings.limits.foreign_limit) {
      out.verdict = CommitVerdict::kUntestable;
      out.reason = "shows another bug each time: " + trial->signature;
      return out;
    }
    if (trial->end == TrialEnd::kPassed) ++out.passed;
  }
  out.verdict = CommitVerdict::kGood;
  return out;
}

}  // namespace mmquake::bisect
