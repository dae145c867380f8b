// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/bisect/graph.h"

#include <algorithm>

namespace mmquake::bisect {

CommitGraph::CommitGraph(std::vector<Commit> commits)
    : commits_(std::move(commits)),
      children_(commits_.size()),
      root_(commits_.size()),
      first_(commits_.size()),
      last_(commits_.size()),
      merge_index_(commits_.size()) {
  for (std::size_t at = 0; at < size(); ++at) {
    for (const std::size_t parent : commits_[at].parents) children_[parent].push_back(at);
  }
  number_chains();
  collect_merges();
}

// Parents come first, so sizes of subtrees add up from the end, and places are given from the
// start.
void CommitGraph::number_chains() {
  std::vector<std::size_t> weight(size(), 1);
  for (std::size_t at = size(); at-- > 0;) {
    if (commits_[at].parents.size() == 1) weight[commits_[at].parents[0]] += weight[at];
  }
  std::vector<std::size_t> next_free(size());
  std::size_t next_root = 0;
  for (std::size_t at = 0; at < size(); ++at) {
    const bool starts = commits_[at].parents.size() != 1;
    const std::size_t parent = starts ? at : commits_[at].parents[0];
    std::size_t& place = starts ? next_root : next_free[parent];
    root_[at] = starts ? at : root_[parent];
    first_[at] = place;
    last_[at] = place + weight[at];
    place += weight[at];
    next_free[at] = first_[at] + 1;
  }
}

void CommitGraph::collect_merges() {
  for (std::size_t at = 0; at < size(); ++at) {
    if (!is_merge(at)) continue;
    Bits held(size());
    held.set(at);
    for (std::size_t parent : commits_[at].parents) {
      while (!is_merge(parent)) {
        held.set(parent);
        if (commits_[parent].parents.empty()) break;
        parent = commits_[parent].parents[0];
      }
      if (is_merge(parent)) held |= merges_[merge_index_[parent]];
    }
    merge_index_[at] = merges_.size();
    merges_.push_back(std::move(held));
  }
}

bool CommitGraph::holds(std::size_t later, std::size_t earlier) const {
  if (first_[earlier] <= first_[later] && first_[later] < last_[earlier]) return true;
  const std::size_t root = root_[later];
  return is_merge(root) && merges_[merge_index_[root]].test(earlier);
}

std::vector<double> CommitGraph::sums(const Bits& within, const std::vector<std::uint32_t>& column,
                                      const std::vector<double>& value, std::size_t columns) const {
  std::vector<double> out(size() * columns);
  for (std::size_t at = 0; at < size(); ++at) {
    double* row = &out[at * columns];
    if (is_merge(at)) {
      merges_[merge_index_[at]].for_each_common(
          within, [&](std::size_t held) { row[column[held]] += value[held]; });
      continue;
    }
    if (!commits_[at].parents.empty()) {
      const double* below = &out[commits_[at].parents[0] * columns];
      std::copy(below, below + columns, row);
    }
    if (within.test(at)) row[column[at]] += value[at];
  }
  return out;
}

}  // namespace mmquake::bisect
