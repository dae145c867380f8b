// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/cli/bisect_speaker.h"

#include <fmt/format.h>

#include "host/bisect/answer.h"
#include "host/console/console.h"
#include "host/report/report.h"

namespace mmquake {

void Speaker::on_build(std::size_t commit, const bisect::BuildResult& build) {
  if (build.end == bisect::BuildEnd::kSkipped) {
    return print("skipped", "", commit, build.seconds, build.reason);
  }
  print(build.from_cache ? "cached" : "built", "", commit, build.seconds, "");
}

void Speaker::on_trial(std::size_t commit, const bisect::TrialOutcome& trial) {
  std::string more = trial.reason;
  const char* word = "passed";
  if (trial.end == bisect::TrialEnd::kBroken) word = "broken";
  if (trial.end == bisect::TrialEnd::kSkipped) word = "skipped";
  if (trial.end == bisect::TrialEnd::kFound) {
    word = "found";
    if (trial.signature != search_->signature()) more = "another bug: " + trial.signature;
  }
  print(word, std::to_string(search_->trials()), commit, trial.seconds, more);
}

void Speaker::print(const char* word, const std::string& number, std::size_t commit, double seconds,
                    const std::string& more) {
  const bisect::Commit& what = search_->graph().commit(commit);
  std::string line = fmt::format("  {:>5} {:<8}{:>7.1f} s  {:.50}", number, word, seconds,
                                 bisect::commit_text(what));
  if (!more.empty()) line += ": " + one_line(more, 300);
  const std::string belief = belief_(*search_);
  if (!belief.empty()) line += "  [" + belief + "]";
  status_.clear();
  fmt::print(out_, "{}\n", escape_for_terminal(line));
  std::fflush(out_);
}

}  // namespace mmquake
