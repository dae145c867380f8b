// SPDX-License-Identifier: GPL-2.0-or-later
//
// The candidates of a bisection, as git knows them.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "guest/protocol/result.h"
#include "host/bisect/graph.h"

namespace mmquake::bisect {

// What git was asked for, in hashes: it means the same when it is asked again.
struct Range {
  std::filesystem::path repository;  // absolute
  std::vector<Commit> good;
  Commit bad;
};

// Usage error when there is no such repository or revision, or a good one holds the bad one.
Result<Range> find_range(const std::filesystem::path& repository,
                         const std::vector<std::string>& good, const std::string& bad);

// The top of the work tree that holds `repository`; itself when it has none.
Result<std::filesystem::path> top_of(const std::filesystem::path& repository);

// Interrupted when `should_stop` becomes true. Reads only.
Result<CommitGraph> read_history(const Range& range, const std::function<bool()>& should_stop = {});

}  // namespace mmquake::bisect
