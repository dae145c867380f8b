// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a bisection has come to, for people, programs and git.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "host/bisect/history.h"
#include "host/bisect/search.h"

namespace mmquake::bisect {

// "1a2b3c4d5e6f mm: subject"
std::string commit_text(const Commit& commit);

// The answer with its posterior, several lines. While the search goes on: what it believes now.
std::string answer_text(const Search& search);

nlohmann::json answer_json(const Range& range, const Search& search);

// As `git bisect log` has it, for `git bisect replay`: bad is what has shown the bug, good what
// holds the culprit with no more than 1 - confidence after trials of its own.
std::string git_bisect_log(const Range& range, const Search& search);

}  // namespace mmquake::bisect
