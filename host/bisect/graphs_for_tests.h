// SPDX-License-Identifier: GPL-2.0-or-later
//
// Small histories for tests.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "host/bisect/graph.h"
#include "host/bisect/search.h"
#include "host/kernel/fake_kernel.h"

namespace mmquake::bisect {

// A commit for each list of parents.
inline CommitGraph graph_of(const std::vector<std::vector<std::size_t>>& parents) {
  std::vector<Commit> commits;
  for (const auto& each : parents) {
    const std::string name = std::to_string(commits.size());
    commits.push_back({"hash" + name, "subject " + name, each});
  }
  return CommitGraph(std::move(commits));
}

inline CommitGraph chain(std::size_t commits) {
  std::vector<std::vector<std::size_t>> parents(commits);
  for (std::size_t at = 1; at < commits; ++at) parents[at] = {at - 1};
  return graph_of(parents);
}

inline TrialOutcome found(const std::string& signature = "bug", double seconds = 10) {
  return {TrialEnd::kFound, signature, "", seconds};
}
inline TrialOutcome passed(double seconds = 20) {
  return {TrialEnd::kPassed, "", "", seconds};
}
inline TrialOutcome broken_trial() {
  return {TrialEnd::kBroken, "", "no boot", 5};
}
inline BuildResult built(double seconds = 30) {
  return {BuildEnd::kBuilt, "", seconds, false};
}
inline BuildResult not_built() {
  return {BuildEnd::kSkipped, "does not compile", 10, false};
}

// A folder that goes when the test ends.
class Scratch {
 public:
  Scratch() {
    std::string name = testing::TempDir() + "bisect-XXXXXX";
    if (mkdtemp(name.data()) == nullptr) ADD_FAILURE() << "mkdtemp";
    path_ = name;
  }
  ~Scratch() {
    std::error_code ignored;  // a test has its own errors to tell of
    std::filesystem::remove_all(path_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// A git repository with one commit, tagged "start".
class Repository {
 public:
  Repository() {
    git({"init", "-q"});
    commit("start", {{"code", "0\n"}});
    git({"tag", "start"});
  }
  void git(const std::vector<std::string>& words) const { kernel::git(scratch_.path(), words); }
  void commit(const std::string& subject,
              const std::vector<std::pair<std::string, std::string>>& files) const {
    for (const auto& [name, text] : files) {
      std::ofstream(scratch_.path() / name) << text;
      git({"add", name});
    }
    git({"commit", "-q", "--allow-empty", "-m", subject});
  }
  const std::filesystem::path& path() const { return scratch_.path(); }

 private:
  Scratch scratch_;
};

}  // namespace mmquake::bisect
