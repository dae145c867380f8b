// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/bisect/history.h"

#include <fmt/format.h>

#include <algorithm>
#include <system_error>
#include <unordered_map>

#include "host/kernel/source.h"

namespace mmquake::bisect {
namespace {

namespace fs = std::filesystem;

// "HASH PARENT PARENT...\tSUBJECT". A subject holds no line end.
constexpr const char* kFormat = "--format=%H %P%x09%s";

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find(' ', at), text.size());
    if (end > at) out.emplace_back(text.substr(at, end - at));
    at = end + 1;
  }
  return out;
}

struct Line {
  std::vector<std::string> hashes;  // the commit's, and its parents'
  std::string subject;
};

Line parse(std::string_view text) {
  const std::size_t tab = std::min(text.find('\t'), text.size());
  return {words_of(text.substr(0, tab)), std::string(text.substr(std::min(tab + 1, text.size())))};
}

Result<std::vector<Line>> rev_list(const fs::path& repository, std::vector<std::string> words,
                                   const std::function<bool()>& should_stop) {
  words.insert(words.begin(), {"rev-list", "--no-commit-header", kFormat});
  std::vector<Line> out;
  auto done = run_command(
      kernel::git_command(repository, words),
      [&](std::string_view line) { out.push_back(parse(line)); }, should_stop);
  if (!done) return tl::make_unexpected(done.error());
  if (done->exit_code == 0) return out;
  return broken("git rev-list: " + kernel::last_line(done->output_tail));
}

Result<Commit> resolve(const fs::path& repository, const std::string& revision) {
  auto done =
      run_command(kernel::git_command(repository, {"rev-parse", "--verify", "--quiet",
                                                   "--end-of-options", revision + "^{commit}"}));
  if (!done) return tl::make_unexpected(done.error());
  if (done->exit_code != 0) {
    return usage(fmt::format("{} has no revision '{}'; see `git -C {} log --oneline`",
                             repository.string(), revision, repository.string()));
  }
  auto lines = rev_list(repository, {"--no-walk", kernel::last_line(done->output_tail)}, {});
  if (!lines) return tl::make_unexpected(lines.error());
  if (lines->empty() || lines->front().hashes.empty()) {
    return broken("git rev-list says nothing about '" + revision + "'");
  }
  return Commit{lines->front().hashes[0], lines->front().subject, {}};
}

}  // namespace

Result<Range> find_range(const fs::path& repository, const std::vector<std::string>& good,
                         const std::string& bad) {
  std::error_code error;
  Range out;
  out.repository = fs::canonical(repository, error);
  if (error) return usage("'" + repository.string() + "': " + error.message());
  auto inside = run_command(kernel::git_command(out.repository, {"rev-parse", "--git-dir"}));
  if (!inside) return tl::make_unexpected(inside.error());
  if (inside->exit_code != 0) {
    return usage("'" + repository.string() +
                 "' is no git repository: " + kernel::last_line(inside->output_tail));
  }
  auto end = resolve(out.repository, bad);
  if (!end) return context("--bad", end.error());
  out.bad = std::move(*end);
  for (const std::string& revision : good) {
    auto found = resolve(out.repository, revision);
    if (!found) return context("--good", found.error());
    out.good.push_back(std::move(*found));
  }
  return out;
}

Result<fs::path> top_of(const fs::path& repository) {
  auto done = run_command(kernel::git_command(repository, {"rev-parse", "--show-toplevel"}));
  if (!done) return tl::make_unexpected(done.error());
  return done->exit_code == 0 ? fs::path(kernel::last_line(done->output_tail)) : repository;
}

Result<CommitGraph> read_history(const Range& range, const std::function<bool()>& should_stop) {
  std::vector<std::string> words = {"--topo-order", "--reverse", range.bad.id, "--not"};
  for (const Commit& good : range.good) words.push_back(good.id);
  auto lines = rev_list(range.repository, std::move(words), should_stop);
  if (!lines) return tl::make_unexpected(lines.error());
  if (lines->empty()) {
    return usage(fmt::format(
        "--good holds --bad ({}): nothing in between could have brought the bug. Are they mixed "
        "up? mmquake looks for the first commit that has it, not for the one that mended it",
        range.bad.id.substr(0, 12)));
  }
  std::unordered_map<std::string, std::size_t> index;
  std::vector<Commit> commits;
  commits.reserve(lines->size());
  for (Line& line : *lines) {
    if (line.hashes.empty()) return broken("git rev-list printed a line without a commit");
    Commit commit{line.hashes[0], std::move(line.subject), {}};
    for (std::size_t i = 1; i < line.hashes.size(); ++i) {
      const auto parent = index.find(line.hashes[i]);
      if (parent == index.end()) continue;  // reachable from a good one
      if (std::find(commit.parents.begin(), commit.parents.end(), parent->second) ==
          commit.parents.end()) {
        commit.parents.push_back(parent->second);
      }
    }
    index.emplace(commit.id, commits.size());
    commits.push_back(std::move(commit));
  }
  return CommitGraph(std::move(commits));
}

}  // namespace mmquake::bisect
