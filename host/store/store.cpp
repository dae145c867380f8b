// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/store/store.h"

#include <SQLiteCpp/SQLiteCpp.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <system_error>

#include "host/console/signature.h"
#include "host/store/schema.h"

namespace mmquake {
namespace {

namespace fs = std::filesystem;

// Another mmquake's transaction takes a moment; one that takes longer than this is stuck.
constexpr int kBusyMs = 10000;

std::int64_t signed_of(std::uint64_t value) {
  return static_cast<std::int64_t>(value);
}
std::uint64_t unsigned_of(const SQLite::Column& column) {
  return static_cast<std::uint64_t>(column.getInt64());
}

Outcome outcome_of(const std::string& word) {
  for (const Outcome outcome :
       {Outcome::kPassed, Outcome::kFound, Outcome::kSkipped, Outcome::kBroken}) {
    if (to_string(outcome) == word) return outcome;
  }
  return Outcome::kBroken;
}

// Guests' texts may hold anything; SQLite wants no more than bytes, JSON wants UTF-8.
std::string params_text(const std::map<std::string, std::string>& params) {
  return nlohmann::json(params).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::map<std::string, std::string> params_of(const std::string& text) {
  const auto parsed = nlohmann::json::parse(text, nullptr, false);
  std::map<std::string, std::string> out;
  if (!parsed.is_object()) return out;
  for (const auto& [key, value] : parsed.items()) {
    if (value.is_string()) out[key] = value.get<std::string>();
  }
  return out;
}

std::string strings_text(const std::vector<std::string>& strings) {
  return nlohmann::json(strings).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::vector<std::string> strings_of(const std::string& text) {
  std::vector<std::string> out;
  for (const auto& value : nlohmann::json::parse(text, nullptr, false)) {
    if (value.is_string()) out.push_back(value.get<std::string>());
  }
  return out;
}

StoredCampaign campaign_from(const SQLite::Statement& row) {
  StoredCampaign out;
  out.id = row.getColumn("id").getInt64();
  out.name = row.getColumn("name").getString();
  out.spec = row.getColumn("spec").getString();
  out.seed = unsigned_of(row.getColumn("seed"));
  out.budget_seconds = row.getColumn("budget_seconds").getDouble();
  out.budget_trials = unsigned_of(row.getColumn("budget_trials"));
  out.used_seconds = row.getColumn("used_seconds").getDouble();
  out.started_at = row.getColumn("started_at").getDouble();
  out.ended_at = row.getColumn("ended_at").getDouble();
  out.directory = row.getColumn("directory").getString();
  return out;
}

StoredTrial trial_from(const SQLite::Statement& row) {
  StoredTrial out;
  out.campaign = row.getColumn("campaign").getInt64();
  out.number = unsigned_of(row.getColumn("number"));
  const std::string state = row.getColumn("state").getString();
  out.state = state == "ended"     ? TrialState::kEnded
              : state == "running" ? TrialState::kRunning
                                   : TrialState::kPlanned;
  out.attempt = row.getColumn("attempt").getInt();
  out.item = row.getColumn("item").getString();
  out.kernel = row.getColumn("kernel").getString();
  out.machine = row.getColumn("machine").getString();
  out.case_name = row.getColumn("case_name").getString();
  out.workload = row.getColumn("workload").getString();
  out.params = params_of(row.getColumn("params").getString());
  out.seed = unsigned_of(row.getColumn("seed"));
  out.verdict = outcome_of(row.getColumn("verdict").getString());
  out.reason = row.getColumn("reason").getString();
  out.kernel_key = row.getColumn("kernel_key").getString();
  out.kernel_release = row.getColumn("kernel_release").getString();
  out.started_at = row.getColumn("started_at").getDouble();
  out.ended_at = row.getColumn("ended_at").getDouble();
  out.seconds = row.getColumn("seconds").getDouble();
  out.wall_seconds = row.getColumn("wall_seconds").getDouble();
  out.slowdown = row.getColumn("slowdown").getDouble();
  out.rounds = unsigned_of(row.getColumn("rounds"));
  out.migrations = unsigned_of(row.getColumn("migrations"));
  out.overlaps = unsigned_of(row.getColumn("overlaps"));
  out.directory = row.getColumn("directory").getString();
  out.repeat = row.getColumn("repeat").getString();
  out.new_log_shapes = strings_of(row.getColumn("new_log_shapes").getString());
  return out;
}

void add_findings(SQLite::Database& database, std::int64_t trial,
                  const std::vector<StoredFinding>& findings) {
  SQLite::Statement insert(database,
                           "INSERT INTO finding (trial, title, kind, source, signature, seconds, "
                           "round) VALUES (?, ?, ?, ?, ?, ?, ?)");
  for (const StoredFinding& finding : findings) {
    insert.bind(1, trial);
    insert.bind(2, finding.title);
    insert.bind(3, finding.kind);
    insert.bind(4, finding.source);
    insert.bind(5, finding.signature);
    insert.bind(6, finding.seconds);
    insert.bind(7, signed_of(finding.round));
    insert.exec();
    insert.reset();
  }
}

void use_time(SQLite::Database& database, std::int64_t campaign, double used_seconds) {
  SQLite::Statement update(database,
                           "UPDATE campaign SET used_seconds = max(used_seconds, ?) WHERE id = ?");
  update.bind(1, used_seconds);
  update.bind(2, campaign);
  update.exec();
}

// Version 1 to 2. Signatures were kind and title; of what they are made of today the store has no
// more than that, so a bug whose signature needs its log is new once more.
void sign_findings(SQLite::Database& database) {
  database.exec("ALTER TABLE finding RENAME TO finding_1; DROP INDEX finding_signature;");
  database.exec(kFindingSchema);
  SQLite::Statement insert(database,
                           "INSERT OR IGNORE INTO finding SELECT id, trial, title, kind, source, "
                           "?, seconds, round FROM finding_1 WHERE id = ?");
  SQLite::Statement old(database, "SELECT id, kind, title FROM finding_1 ORDER BY id");
  while (old.executeStep()) {
    const std::string kind = old.getColumn("kind").getString();
    insert.bind(1, signature_of(kind, old.getColumn("title").getString(), ""));
    insert.bind(2, old.getColumn("id").getInt64());
    insert.exec();
    insert.reset();
  }
  old.reset();
  database.exec("DROP TABLE finding_1");
}

// Two processes may open a new file at once: look with the write lock held.
Result<> bring_up(SQLite::Database& database, const std::string& name) {
  SQLite::Transaction transaction(database, SQLite::TransactionBehavior::IMMEDIATE);
  const int id = database.execAndGet("PRAGMA application_id").getInt();
  const int version = database.execAndGet("PRAGMA user_version").getInt();
  const int tables = database.execAndGet("SELECT count(*) FROM sqlite_schema").getInt();
  if (id == 0 && tables == 0) {
    database.exec(kSchema);
    database.exec(kFindingSchema);
    database.exec(fmt::format("PRAGMA application_id = {}", kApplicationId));
    database.exec(fmt::format("PRAGMA user_version = {}", kSchemaVersion));
    transaction.commit();
    return {};
  }
  if (id != kApplicationId) return broken(fmt::format("{}: is a database, but no store", name));
  if (version > kSchemaVersion) {
    return broken(fmt::format("{}: has schema {}, and this mmquake knows {}: use a newer one", name,
                              version, kSchemaVersion));
  }
  if (version < 2) sign_findings(database);
  if (version < 3) {
    database.exec("ALTER TABLE trial ADD COLUMN new_log_shapes TEXT NOT NULL DEFAULT '[]'");
  }
  database.exec(fmt::format("PRAGMA user_version = {}", kSchemaVersion));
  transaction.commit();
  return {};
}

// Not before it is known to be ours: these change the file.
void prepare_file(SQLite::Database& database) {
  database.exec("PRAGMA journal_mode = WAL");
  // On disk, not on its way there: the machine may be killed, too.
  database.exec("PRAGMA synchronous = FULL");
  database.exec("PRAGMA foreign_keys = ON");
}

}  // namespace

std::string_view to_string(TrialState state) {
  switch (state) {
    case TrialState::kPlanned:
      return "planned";
    case TrialState::kRunning:
      return "running";
    case TrialState::kEnded:
      return "ended";
  }
  return "?";
}

Store::Store(fs::path path, std::unique_ptr<SQLite::Database> database)
    : path_(std::move(path)), database_(std::move(database)) {}
Store::Store(Store&&) noexcept = default;
Store& Store::operator=(Store&&) noexcept = default;
Store::~Store() = default;

// Runs `work`, which returns a Result; SQLite's exceptions become errors.
template <typename Work>
auto Store::guarded(Work&& work) const -> decltype(work()) {
  try {
    return work();
  } catch (const SQLite::Exception& error) {
    return broken(fmt::format("store '{}': {}", path_.string(), error.what()));
  }
}

Result<Store> Store::open(const fs::path& path) {
  const std::string name = fmt::format("store '{}'", path.string());
  std::error_code error;
  if (path.has_parent_path()) fs::create_directories(path.parent_path(), error);
  if (error) return broken(fmt::format("{}: cannot make its folder: {}", name, error.message()));
  try {
    auto database = std::make_unique<SQLite::Database>(
        path, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE, kBusyMs);
    if (auto ready = bring_up(*database, name); !ready) return tl::make_unexpected(ready.error());
    prepare_file(*database);
    return Store(path, std::move(database));
  } catch (const SQLite::Exception& failed) {
    return broken(fmt::format("{}: {}", name, failed.what()));
  }
}

Result<std::int64_t> Store::add_campaign(const StoredCampaign& campaign) {
  return guarded([&]() -> Result<std::int64_t> {
    SQLite::Statement insert(*database_,
                             "INSERT INTO campaign (name, spec, seed, budget_seconds, "
                             "budget_trials, started_at, directory) VALUES (?, ?, ?, ?, ?, ?, ?)");
    insert.bind(1, campaign.name);
    insert.bind(2, campaign.spec);
    insert.bind(3, signed_of(campaign.seed));
    insert.bind(4, campaign.budget_seconds);
    insert.bind(5, signed_of(campaign.budget_trials));
    insert.bind(6, campaign.started_at);
    insert.bind(7, campaign.directory);
    insert.exec();
    return database_->getLastInsertRowid();
  });
}

Result<> Store::reopen(std::int64_t campaign, double budget_seconds, std::uint64_t budget_trials) {
  return guarded([&]() -> Result<> {
    SQLite::Statement update(*database_,
                             "UPDATE campaign SET budget_seconds = ?, budget_trials = ?, "
                             "ended_at = NULL WHERE id = ?");
    update.bind(1, budget_seconds);
    update.bind(2, signed_of(budget_trials));
    update.bind(3, campaign);
    update.exec();
    return {};
  });
}

Result<> Store::end_campaign(std::int64_t campaign, double used_seconds, double at) {
  return guarded([&]() -> Result<> {
    SQLite::Transaction transaction(*database_, SQLite::TransactionBehavior::IMMEDIATE);
    use_time(*database_, campaign, used_seconds);
    SQLite::Statement update(*database_, "UPDATE campaign SET ended_at = ? WHERE id = ?");
    update.bind(1, at);
    update.bind(2, campaign);
    update.exec();
    transaction.commit();
    return {};
  });
}

Result<> Store::plan_trial(const StoredTrial& trial) {
  return guarded([&]() -> Result<> {
    SQLite::Statement insert(
        *database_,
        "INSERT INTO trial (campaign, number, state, item, kernel, machine, case_name, workload, "
        "params, seed) VALUES (?, ?, 'planned', ?, ?, ?, ?, ?, ?, ?)");
    insert.bind(1, trial.campaign);
    insert.bind(2, signed_of(trial.number));
    insert.bind(3, trial.item);
    insert.bind(4, trial.kernel);
    insert.bind(5, trial.machine);
    insert.bind(6, trial.case_name);
    insert.bind(7, trial.workload);
    insert.bind(8, params_text(trial.params));
    insert.bind(9, signed_of(trial.seed));
    insert.exec();
    return {};
  });
}

Result<int> Store::start_trial(std::int64_t campaign, std::uint64_t number, double at) {
  return guarded([&]() -> Result<int> {
    SQLite::Statement update(*database_,
                             "UPDATE trial SET state = 'running', attempt = attempt + 1, "
                             "started_at = ? WHERE campaign = ? AND number = ? AND "
                             "state != 'ended' RETURNING attempt");
    update.bind(1, at);
    update.bind(2, campaign);
    update.bind(3, signed_of(number));
    if (!update.executeStep()) {
      return broken(
          fmt::format("store '{}': trial {} of campaign {} cannot start: it is not there "
                      "or has ended",
                      path_.string(), number, campaign));
    }
    const int attempt = update.getColumn(0).getInt();
    // The change is kept when the statement has come to its end.
    while (update.executeStep()) {
    }
    return attempt;
  });
}

Result<> Store::end_trial(const StoredTrial& trial, double used_seconds) {
  return guarded([&]() -> Result<> {
    SQLite::Transaction transaction(*database_, SQLite::TransactionBehavior::IMMEDIATE);
    SQLite::Statement update(
        *database_,
        "UPDATE trial SET state = 'ended', verdict = ?, reason = ?, kernel_key = ?, "
        "kernel_release = ?, ended_at = ?, seconds = ?, wall_seconds = ?, slowdown = ?, "
        "rounds = ?, migrations = ?, overlaps = ?, directory = ?, repeat = ?, "
        "new_log_shapes = ? WHERE campaign = ? AND number = ? AND state = 'running' AND attempt = "
        "? RETURNING id");
    update.bind(1, std::string(to_string(trial.verdict)));
    update.bind(2, trial.reason);
    update.bind(3, trial.kernel_key);
    update.bind(4, trial.kernel_release);
    update.bind(5, trial.ended_at);
    update.bind(6, trial.seconds);
    update.bind(7, trial.wall_seconds);
    update.bind(8, trial.slowdown);
    update.bind(9, signed_of(trial.rounds));
    update.bind(10, signed_of(trial.migrations));
    update.bind(11, signed_of(trial.overlaps));
    update.bind(12, trial.directory);
    update.bind(13, trial.repeat);
    update.bind(14, strings_text(trial.new_log_shapes));
    update.bind(15, trial.campaign);
    update.bind(16, signed_of(trial.number));
    update.bind(17, trial.attempt);
    if (!update.executeStep()) {
      return broken(
          fmt::format("store '{}': attempt {} of trial {} of campaign {} does not run, so it "
                      "cannot end",
                      path_.string(), trial.attempt, trial.number, trial.campaign));
    }
    const std::int64_t id = update.getColumn(0).getInt64();
    while (update.executeStep()) {
    }
    add_findings(*database_, id, trial.findings);
    use_time(*database_, trial.campaign, used_seconds);
    transaction.commit();
    return {};
  });
}

Result<> Store::give_back(std::int64_t campaign, std::uint64_t number, double used_seconds) {
  return guarded([&]() -> Result<> {
    SQLite::Transaction transaction(*database_, SQLite::TransactionBehavior::IMMEDIATE);
    SQLite::Statement update(*database_,
                             "UPDATE trial SET state = 'planned' WHERE campaign = ? AND number = ? "
                             "AND state = 'running'");
    update.bind(1, campaign);
    update.bind(2, signed_of(number));
    update.exec();
    use_time(*database_, campaign, used_seconds);
    transaction.commit();
    return {};
  });
}

Result<std::vector<StoredCampaign>> Store::campaigns() const {
  return guarded([&]() -> Result<std::vector<StoredCampaign>> {
    std::vector<StoredCampaign> out;
    SQLite::Statement query(*database_, "SELECT * FROM campaign ORDER BY id");
    while (query.executeStep()) out.push_back(campaign_from(query));
    return out;
  });
}

Result<StoredCampaign> Store::campaign(std::int64_t id) const {
  return guarded([&]() -> Result<StoredCampaign> {
    SQLite::Statement query(*database_, "SELECT * FROM campaign WHERE id = ?");
    query.bind(1, id);
    if (query.executeStep()) return campaign_from(query);
    return usage(fmt::format("store '{}' has no campaign {}", path_.string(), id));
  });
}

Result<std::vector<StoredTrial>> Store::trials(std::int64_t campaign) const {
  return guarded([&]() -> Result<std::vector<StoredTrial>> {
    std::vector<StoredTrial> out;
    std::map<std::int64_t, std::size_t> at;  // index by row id
    SQLite::Statement query(*database_, "SELECT * FROM trial WHERE campaign = ? ORDER BY number");
    query.bind(1, campaign);
    while (query.executeStep()) {
      at[query.getColumn("id").getInt64()] = out.size();
      out.push_back(trial_from(query));
    }
    SQLite::Statement findings(*database_,
                               "SELECT finding.* FROM finding JOIN trial ON trial.id = "
                               "finding.trial WHERE campaign = ? ORDER BY finding.id");
    findings.bind(1, campaign);
    while (findings.executeStep()) {
      StoredFinding finding;
      finding.title = findings.getColumn("title").getString();
      finding.kind = findings.getColumn("kind").getString();
      finding.source = findings.getColumn("source").getString();
      finding.signature = findings.getColumn("signature").getString();
      finding.seconds = findings.getColumn("seconds").getDouble();
      finding.round = unsigned_of(findings.getColumn("round"));
      const auto trial = at.find(findings.getColumn("trial").getInt64());
      if (trial != at.end()) out[trial->second].findings.push_back(std::move(finding));
    }
    return out;
  });
}

Result<std::vector<std::string>> Store::faults() const {
  // What the tables' own constraints cannot say.
  constexpr std::array<const char*, 5> kRules = {
      "SELECT 'campaign ' || campaign || ' has trials up to ' || max(number) || ', but ' || "
      "count(*) || ' of them' FROM trial GROUP BY campaign HAVING count(*) != max(number)",
      "SELECT 'campaign ' || campaign || ', trial ' || number || ': found without a finding' FROM "
      "trial WHERE verdict = 'found' AND id NOT IN (SELECT trial FROM finding)",
      "SELECT 'campaign ' || campaign || ', trial ' || number || ': a finding, but ' || "
      "ifnull(verdict, state) FROM trial WHERE id IN (SELECT trial FROM finding) AND "
      "ifnull(verdict, '') NOT IN ('found', 'broken')",
      "SELECT 'campaign ' || campaign.id || ' has ended, trial ' || number || ' has not' FROM "
      "trial JOIN campaign ON campaign.id = campaign WHERE campaign.ended_at IS NOT NULL AND "
      "state = 'running'",
      "SELECT 'row ' || rowid || ' of ' || \"table\" || ' names a missing ' || parent FROM "
      "pragma_foreign_key_check"};
  return guarded([&]() -> Result<std::vector<std::string>> {
    std::vector<std::string> out;
    SQLite::Statement check(*database_, "PRAGMA integrity_check");
    while (check.executeStep()) {
      const std::string line = check.getColumn(0).getString();
      if (line != "ok") out.push_back("SQLite: " + line);
    }
    for (const char* rule : kRules) {
      SQLite::Statement query(*database_, rule);
      while (query.executeStep()) out.push_back(query.getColumn(0).getString());
    }
    return out;
  });
}

}  // namespace mmquake
