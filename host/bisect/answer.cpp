// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/bisect/answer.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "host/campaign/rates.h"

namespace mmquake::bisect {
namespace {

using nlohmann::json;

// How many groups of candidates are shown, and how many commits of the best one.
constexpr std::size_t kShownGroups = 5;
constexpr std::size_t kShownCommits = 20;
// Less is not worth a line.
constexpr double kLeastShown = 0.0005;

std::string percent(double chance) {
  if (chance > 0.9995 && chance < 1) return "> 99.9 %";
  return fmt::format("{:.1f} %", 100 * chance);
}

// Trials on commits that are bad if the likeliest candidate is the culprit.
struct Detection {
  std::uint32_t found = 0;
  std::uint32_t trials = 0;
  Interval rate;
};

Detection detection_of(const Search& search) {
  Detection out;
  if (search.groups().empty()) return out;
  const std::size_t culprit = search.groups().front().commits.front();
  out.found = search.posterior().found_count();
  out.trials = out.found + search.posterior().passes(culprit);
  out.rate = probability_interval(out.found, out.trials);
  return out;
}

// The chance that each commit holds the culprit.
std::vector<double> chances_of_bad(const Search& search) {
  const CommitGraph& graph = search.graph();
  return graph.sums(search.posterior().alive(), std::vector<std::uint32_t>(graph.size(), 0),
                    search.posterior().chances(), 1);
}

std::string end_text(const Search& search) {
  const Group* best = search.groups().empty() ? nullptr : &search.groups().front();
  switch (search.end()) {
    case SearchEnd::kSettled:
      if (best->commits.size() == 1) {
        return fmt::format("first bad commit ({}): {}\n", percent(best->chance),
                           commit_text(search.graph().commit(best->commits.front())));
      }
      return fmt::format(
          "the first bad commit is one of these {} ({}); what lies between them cannot be "
          "tested:\n",
          best->commits.size(), percent(best->chance));
    case SearchEnd::kNotShown:
      return fmt::format(
          "the bad end did not show the bug in {} trials: is it there, and long enough under "
          "stress? Try longer trials, or a later --bad\n",
          search.trials());
    case SearchEnd::kBadUntestable:
      return fmt::format("the bad end cannot be tested: {}\n",
                         search.tally(search.graph().bad_end()).untestable);
    case SearchEnd::kContradiction:
      return "commits show the bug that have no candidate in common: is --good really good, and "
             "does the signature name one bug only?\n";
    case SearchEnd::kNothingLeft:
      return "nothing that can be tested would tell more\n";
    case SearchEnd::kGoesOn:
      break;
  }
  return "not settled yet\n";
}

std::string groups_text(const Search& search) {
  const CommitGraph& graph = search.graph();
  std::string out;
  const auto& groups = search.groups();
  for (std::size_t i = 0; i < std::min(groups.size(), kShownGroups); ++i) {
    const Group& group = groups[i];
    if (group.chance < kLeastShown) break;
    const std::size_t shown =
        i == 0 ? std::min(group.commits.size(), kShownCommits) : std::size_t{1};
    for (std::size_t c = 0; c < shown; ++c) {
      out += fmt::format("  {:>8}  {}\n", c == 0 ? percent(group.chance) : "or",
                         commit_text(graph.commit(group.commits[c])));
    }
    if (shown < group.commits.size()) {
      out += fmt::format("            or one of {} more\n", group.commits.size() - shown);
    }
  }
  return out;
}

// What a person should know beside the answer.
std::string notes_text(const Search& search) {
  const CommitGraph& graph = search.graph();
  std::string out;
  std::size_t untestable = 0;
  std::uint32_t broken_trials = 0;
  std::map<std::string, std::uint32_t> foreign;
  for (std::size_t at = 0; at < graph.size(); ++at) {
    const Tally& tally = search.tally(at);
    untestable += tally.untestable.empty() ? 0 : 1;
    broken_trials += tally.broken;
    for (const auto& [signature, count] : tally.foreign) foreign[signature] += count;
  }
  if (untestable > 0)
    out += fmt::format("cannot be tested: {} commits that were tried\n", untestable);
  if (broken_trials > 0)
    out += fmt::format("broken: {} trials, which say nothing\n", broken_trials);
  for (const auto& [signature, count] : foreign) {
    out += fmt::format("another bug, no vote: {} ({} times)\n", signature, count);
  }
  return out;
}

json commits_json(const CommitGraph& graph, const std::vector<std::size_t>& commits) {
  json out = json::array();
  for (const std::size_t at : commits) {
    out.push_back({{"id", graph.commit(at).id}, {"subject", graph.commit(at).subject}});
  }
  return out;
}

const char* end_name(SearchEnd end) {
  switch (end) {
    case SearchEnd::kGoesOn:
      return "goes-on";
    case SearchEnd::kSettled:
      return "settled";
    case SearchEnd::kNotShown:
      return "not-shown";
    case SearchEnd::kBadUntestable:
      return "bad-end-untestable";
    case SearchEnd::kContradiction:
      return "contradiction";
    case SearchEnd::kNothingLeft:
      return "nothing-left";
  }
  return "?";
}

std::string log_lines(const char* word, const Commit& commit) {
  return fmt::format("# {0}: [{1}] {2}\ngit bisect {0} {1}\n", word, commit.id, commit.subject);
}

}  // namespace

std::string commit_text(const Commit& commit) {
  return commit.id.substr(0, 12) + " " + commit.subject;
}

std::string answer_text(const Search& search) {
  std::string out = end_text(search) + groups_text(search);
  const Detection detection = detection_of(search);
  if (detection.found > 0) {
    out += fmt::format("a bad kernel shows it in {} of {} trials ({:.2f} to {:.2f} at 95 %): {}\n",
                       detection.found, detection.trials, detection.rate.low, detection.rate.high,
                       search.signature());
  }
  return out + notes_text(search);
}

json answer_json(const Range& range, const Search& search) {
  const CommitGraph& graph = search.graph();
  json candidates = json::array();
  for (const Group& group : search.groups()) {
    if (group.chance < kLeastShown || candidates.size() == 20) break;
    candidates.push_back(
        {{"chance", group.chance}, {"commits", commits_json(graph, group.commits)}});
  }
  const std::vector<double> bad = chances_of_bad(search);
  json tested = json::array();
  for (std::size_t at = 0; at < graph.size(); ++at) {
    const Tally& tally = search.tally(at);
    if (tally.found + tally.passed + tally.broken == 0 && tally.foreign.empty() &&
        tally.untestable.empty()) {
      continue;
    }
    tested.push_back({{"id", graph.commit(at).id},
                      {"subject", graph.commit(at).subject},
                      {"found", tally.found},
                      {"passed", tally.passed},
                      {"broken", tally.broken},
                      {"other_signatures", tally.foreign},
                      {"untestable", tally.untestable},
                      {"chance_of_bad", bad[at]}});
  }
  json good = json::array();
  for (const Commit& commit : range.good) good.push_back(commit.id);
  const Detection detection = detection_of(search);
  json first_bad = json::array();
  if (search.end() == SearchEnd::kSettled) {
    first_bad = commits_json(graph, search.groups().front().commits);
  }
  return {{"end", end_name(search.end())},
          {"repository", range.repository.string()},
          {"good", good},
          {"bad", range.bad.id},
          {"commits", graph.size()},
          {"confidence", search.settings().confidence},
          {"first_bad", first_bad},
          {"candidates", candidates},
          {"signature", search.signature()},
          {"detection",
           {{"found", detection.found},
            {"trials", detection.trials},
            {"low", detection.rate.low},
            {"high", detection.rate.high}}},
          {"trials", search.trials()},
          {"seconds", search.seconds()},
          {"tested", tested}};
}

std::string git_bisect_log(const Range& range, const Search& search) {
  const CommitGraph& graph = search.graph();
  std::string out = "git bisect start\n# status: waiting for both good and bad commits\n";
  out += log_lines("bad", range.bad);
  for (const Commit& commit : range.good) out += log_lines("good", commit);
  const std::vector<double> bad = chances_of_bad(search);
  for (std::size_t at = graph.size(); at-- > 0;) {
    const Tally& tally = search.tally(at);
    if (at == graph.bad_end()) continue;
    if (tally.found > 0) {
      out += log_lines("bad", graph.commit(at));
    } else if (tally.passed > 0 && bad[at] <= 1 - search.settings().confidence) {
      out += log_lines("good", graph.commit(at));
    } else if (!tally.untestable.empty()) {
      out += log_lines("skip", graph.commit(at));
    }
  }
  if (search.end() != SearchEnd::kSettled) return out;
  const std::vector<std::size_t>& best = search.groups().front().commits;
  const char* what = best.size() == 1 ? "first bad commit" : "possible first bad commit";
  if (best.size() > 1) out += "# only skipped commits left to test\n";
  for (const std::size_t at : best) {
    out += fmt::format("# {}: [{}] {}\n", what, graph.commit(at).id, graph.commit(at).subject);
  }
  return out;
}

}  // namespace mmquake::bisect
