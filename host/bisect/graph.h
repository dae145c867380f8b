// SPDX-License-Identifier: GPL-2.0-or-later
//
// The commits of which one brought the bug, and which of them comes before which.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "host/bisect/bits.h"

namespace mmquake::bisect {

struct Commit {
  std::string id;  // the whole hash
  std::string subject;
  std::vector<std::size_t> parents;  // those that are candidates, too
};

// What is reachable from the bad end and not from a good one, merges included. A commit shows the
// bug if and only if the culprit is among its ancestors or is itself. Commits are known by their
// index; parents have smaller ones than their children, the bad end has the largest.
class CommitGraph {
 public:
  // At least one commit, in such an order.
  explicit CommitGraph(std::vector<Commit> commits);

  std::size_t size() const { return commits_.size(); }
  const Commit& commit(std::size_t at) const { return commits_[at]; }
  std::size_t bad_end() const { return commits_.size() - 1; }
  const std::vector<std::size_t>& children(std::size_t at) const { return children_[at]; }

  // Whether every history of `later` holds `earlier`; a commit holds itself.
  bool holds(std::size_t later, std::size_t earlier) const;

  // Each commit that `of` holds.
  template <typename Visit>
  void for_each_held(std::size_t of, const Visit& visit) const {
    std::size_t at = of;
    while (!is_merge(at)) {
      visit(at);
      if (commits_[at].parents.empty()) return;
      at = commits_[at].parents[0];
    }
    merges_[merge_index_[at]].for_each(visit);
  }

  // For each commit, the sums of `value` over those of `within` that it holds, by their `column`
  // (smaller than `columns`): element [commit * columns + column].
  std::vector<double> sums(const Bits& within, const std::vector<std::uint32_t>& column,
                           const std::vector<double>& value, std::size_t columns) const;

 private:
  bool is_merge(std::size_t at) const { return commits_[at].parents.size() > 1; }
  void number_chains();
  void collect_merges();

  // Without its merges a history is a forest, in which an interval says who comes before whom. So
  // only merges need a set of all that they hold, and 70,000 commits fit into memory.
  std::vector<Commit> commits_;
  std::vector<std::vector<std::size_t>> children_;
  std::vector<std::size_t> root_;  // the first of the chain: a merge, or a commit without parents
  std::vector<std::size_t> first_, last_;  // the interval of each commit and what is above it
  std::vector<std::size_t> merge_index_;
  std::vector<Bits> merges_;
};

}  // namespace mmquake::bisect
