// SPDX-License-Identifier: GPL-2.0-or-later
//
// The database of every trial and finding of every campaign: SQLite, written as it happens.
// Each call that writes is one transaction, on disk when it returns (WAL, synchronous=FULL), so
// that whoever is killed at any moment leaves the last word or the one before, never half of it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "guest/protocol/records.h"
#include "guest/protocol/result.h"

namespace SQLite {
class Database;
}

namespace mmquake {

// Times of day are seconds since 1970, UTC.
struct StoredCampaign {
  std::int64_t id = 0;  // given by the store
  std::string name;
  std::string spec;  // text of its TOML file
  std::uint64_t seed = 0;
  double budget_seconds = 0;  // host time; 0: none
  std::uint64_t budget_trials = 0;
  double used_seconds = 0;  // host time, of all its runs
  double started_at = 0;
  double ended_at = 0;    // 0: its budget is not used up
  std::string directory;  // of its trials
};

struct StoredFinding {
  std::string title;
  std::string kind;
  std::string source;     // "oracle" or "console"
  std::string signature;  // equal for one bug (host/console/signature.h)
  double seconds = 0;     // guest time
  std::uint64_t round = 0;
};

// planned: drawn, waits for its turn (also when it was interrupted). running: its VM may live.
enum class TrialState { kPlanned, kRunning, kEnded };
std::string_view to_string(TrialState state);

struct StoredTrial {
  std::int64_t campaign = 0;
  std::uint64_t number = 0;  // from 1, in the order in which they were drawn
  TrialState state = TrialState::kPlanned;
  int attempt = 0;  // how often it was started; only the last one counts
  std::string item;
  std::string kernel;
  std::string machine;
  std::string case_name;  // empty: a workload of its own
  std::string workload;
  std::map<std::string, std::string> params;
  std::uint64_t seed = 0;
  // What follows is known when it has ended.
  Outcome verdict = Outcome::kBroken;
  std::string reason;
  std::string kernel_key;  // of the artifact
  std::string kernel_release;
  double started_at = 0;
  double ended_at = 0;
  double seconds = 0;       // guest time of the workload
  double wall_seconds = 0;  // host time from its start to its end
  double slowdown = 0;
  std::uint64_t rounds = 0, migrations = 0, overlaps = 0;
  std::string directory;
  std::string repeat;  // the command that repeats it
  std::vector<StoredFinding> findings;
  // Of what its kernel printed, those that no trial of the campaign had before (LogShapes).
  std::vector<std::string> new_log_shapes;
};

// One connection, for one thread. Errors are broken: "store 'PATH': what".
class Store {
 public:
  // Makes the file and its folder where there is none. Brings the file of an older mmquake up to
  // this one's schema. Refuses a file that is no store or of a newer mmquake.
  static Result<Store> open(const std::filesystem::path& path);
  Store(Store&&) noexcept;
  Store& operator=(Store&&) noexcept;
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;
  ~Store();

  const std::filesystem::path& path() const { return path_; }

  // Gives the id.
  Result<std::int64_t> add_campaign(const StoredCampaign& campaign);
  // A new budget, and no longer ended.
  Result<> reopen(std::int64_t campaign, double budget_seconds, std::uint64_t budget_trials);
  // Its budget is used up.
  Result<> end_campaign(std::int64_t campaign, double used_seconds, double at);

  // A trial that was drawn. A second one of its number is refused.
  Result<> plan_trial(const StoredTrial& trial);
  // planned or running (left by who was killed) to running, with the next attempt. Gives it.
  Result<int> start_trial(std::int64_t campaign, std::uint64_t number, double at);
  // running to ended, with its numbers and findings. Refused when `trial.attempt` is not the one
  // that runs: nothing is counted twice.
  Result<> end_trial(const StoredTrial& trial, double used_seconds);
  // running to planned: it was interrupted.
  Result<> give_back(std::int64_t campaign, std::uint64_t number, double used_seconds);

  Result<std::vector<StoredCampaign>> campaigns() const;  // by id
  Result<StoredCampaign> campaign(std::int64_t id) const;
  Result<std::vector<StoredTrial>> trials(std::int64_t campaign) const;  // by number

  // What is wrong with it: SQLite's own check and the rules above. Empty: nothing.
  Result<std::vector<std::string>> faults() const;

 private:
  Store(std::filesystem::path path, std::unique_ptr<SQLite::Database> database);
  template <typename Work>
  auto guarded(Work&& work) const -> decltype(work());

  std::filesystem::path path_;
  std::unique_ptr<SQLite::Database> database_;
};

}  // namespace mmquake
