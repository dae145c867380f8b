// SPDX-License-Identifier: GPL-2.0-or-later
//
// A bisection without the world: told what builds and trials gave, it says what to do next and when
// it is over. The same entries in the same order lead to the same state, which is how a killed
// bisection goes on.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "host/bisect/graph.h"
#include "host/bisect/planner.h"
#include "host/bisect/posterior.h"
#include "host/bisect/prices.h"

namespace mmquake::bisect {

struct SearchSettings {
  double confidence = 0.95;
  std::string signature;  // what counts as the bug; empty: what the bad end shows first
  BetaPrior prior;
  Aim aim = Aim::kBitsPerSecond;
  bool keeps_kernels = true;        // else a build takes the place of the one before
  std::uint32_t found_first = 1;    // on the bad end, before anything else is tried
  std::uint32_t bad_limit = 100;    // trials of the bad end until one finds
  std::uint32_t broken_limit = 3;   // broken trials of a commit in a row, and it is given up
  std::uint32_t foreign_limit = 5;  // the same for other signatures
};

enum class BuildEnd {
  kBuilt,
  kSkipped,  // this commit does not build
};

struct BuildResult {
  BuildEnd end = BuildEnd::kBuilt;
  std::string reason;  // why not
  double seconds = 0;
  bool from_cache = false;  // nothing was built
};

enum class TrialEnd {
  kFound,  // something, which the signature names
  kPassed,
  kBroken,   // harness or host failed: says nothing, may be tried again
  kSkipped,  // this commit cannot be tested: it does not boot, or lacks something
};

struct TrialOutcome {
  TrialEnd end = TrialEnd::kPassed;
  std::string signature;  // of what was found
  std::string reason;     // of broken and skipped
  double seconds = 0;
};

// Commits that no trial can tell apart, because what lies between them cannot be tested.
struct Group {
  std::vector<std::size_t> commits;  // in their order
  double chance = 0;
};

enum class SearchEnd {
  kGoesOn,
  kSettled,        // the best group has the wanted confidence
  kNotShown,       // the bad end did not show the bug within its limit
  kBadUntestable,  // the bad end does not build, boot or fit
  kContradiction,  // commits show the bug that have no candidate in common
  kNothingLeft,    // no trial would tell anything
};

// What was seen on one commit.
struct Tally {
  std::uint32_t found = 0, passed = 0, broken = 0;
  std::map<std::string, std::uint32_t> foreign;  // other signatures
  std::string untestable;                        // why, or empty
};

class Search {
 public:
  // `graph` outlives this.
  Search(const CommitGraph& graph, SearchSettings settings);

  SearchEnd end() const { return end_; }
  // While it goes on. Build the plan's commit unless is_built(), then run one trial of it.
  Plan next() const;
  bool is_built(std::size_t commit) const { return kernels_.state[commit] == KernelState::kBuilt; }

  void take(std::size_t commit, const BuildResult& build);
  void take(std::size_t commit, const TrialOutcome& trial);

  // While many are taken in, next(), end() and groups() stay as they were: with 60,000 commits
  // they take most of a second.
  void set_replaying(bool replaying);

  // By chance, the best first; not those that are no candidates any more.
  const std::vector<Group>& groups() const { return groups_; }
  const CommitGraph& graph() const { return graph_; }
  const Posterior& posterior() const { return posterior_; }
  const Prices& prices() const { return prices_; }
  const Tally& tally(std::size_t commit) const { return tallies_[commit]; }
  const std::string& signature() const { return settings_.signature; }
  const SearchSettings& settings() const { return settings_; }
  std::uint32_t trials() const { return trials_; }
  double seconds() const { return seconds_; }

 private:
  void give_up(std::size_t commit, const std::string& reason);
  void look();
  void find_groups();

  const CommitGraph& graph_;
  SearchSettings settings_;
  Posterior posterior_;
  Prices prices_;
  Kernels kernels_;
  std::vector<Tally> tallies_;
  std::vector<std::uint32_t> in_row_;  // broken or foreign trials since the last vote
  std::vector<Group> groups_;
  std::optional<Plan> plan_;
  SearchEnd end_ = SearchEnd::kGoesOn;
  bool is_replaying_ = false;
  std::uint32_t trials_ = 0;
  double seconds_ = 0;
};

}  // namespace mmquake::bisect
