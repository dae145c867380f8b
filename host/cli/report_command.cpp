// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/cli/report_command.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <nlohmann/json.hpp>

#include "host/console/console.h"
#include "host/report/campaign_report.h"
#include "host/report/exchange_formats.h"
#include "host/report/html_report.h"
#include "host/report/mail.h"
#include "host/report/report.h"
#include "host/report/soak_text.h"
#include "host/store/store.h"

namespace mmquake {
namespace {

double today() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

Result<StoredCampaign> chosen_campaign(const Store& store, std::int64_t id) {
  auto all = store.campaigns();
  if (!all) return tl::make_unexpected(all.error());
  if (all->empty()) return usage(fmt::format("no campaign in '{}'", store.path().string()));
  if (id == 0) return all->back();
  std::vector<std::int64_t> ids;
  for (const StoredCampaign& one : *all) {
    if (one.id == id) return one;
    ids.push_back(one.id);
  }
  return usage(fmt::format("no campaign {} in '{}'; there are {}", id, store.path().string(),
                           fmt::join(ids, ", ")));
}

Result<std::set<std::string>> signatures_before(const Store& store, std::int64_t id) {
  auto all = store.campaigns();
  if (!all) return tl::make_unexpected(all.error());
  std::set<std::string> out;
  for (const StoredCampaign& campaign : *all) {
    if (campaign.id >= id) continue;
    auto trials = store.trials(campaign.id);
    if (!trials) return tl::make_unexpected(trials.error());
    for (const BugEntry& bug : distinct_bugs(*trials, {})) out.insert(bug.signature);
  }
  return out;
}

Result<CampaignReport> read_report(const CommonOptions& common, const ReportOptions& options) {
  double since = 0;
  if (!options.since.empty()) {
    auto parsed = parse_since(options.since, today());
    if (!parsed) return tl::make_unexpected(parsed.error());
    since = *parsed;
  }
  auto store = open_old_store(common);
  if (!store) return tl::make_unexpected(store.error());
  auto campaign = chosen_campaign(*store, options.campaign);
  if (!campaign) return tl::make_unexpected(campaign.error());
  auto earlier = signatures_before(*store, campaign->id);
  if (!earlier) return tl::make_unexpected(earlier.error());
  auto trials = store->trials(campaign->id);
  if (!trials) return tl::make_unexpected(trials.error());
  std::erase_if(*trials, [&](const StoredTrial& trial) {
    return trial.state == TrialState::kEnded && trial.ended_at < since;
  });
  return summarise(*campaign, std::move(*trials), *earlier);
}

Result<> write_formats(const CampaignReport& report, const ReportOptions& options) {
  if (!options.html.empty()) {
    if (auto done = write_html(report, options.html); !done) return done;
    fmt::print(stderr, "HTML: {}\n", (options.html / "index.html").string());
  }
  if (!options.junit.empty()) {
    if (auto done = write_file(options.junit, campaign_junit(report)); !done) return done;
    fmt::print(stderr, "JUnit: {}\n", options.junit.string());
  }
  if (!options.kcidb.empty()) {
    auto done = write_file(options.kcidb, campaign_kcidb(report, options.origin));
    if (!done) return done;
    fmt::print(stderr, "KCIDB: {}\n", options.kcidb.string());
  }
  return {};
}

Result<std::vector<StoredTrial>> all_trials(const Store& store) {
  auto campaigns = store.campaigns();
  if (!campaigns) return tl::make_unexpected(campaigns.error());
  std::vector<StoredTrial> out;
  for (const StoredCampaign& campaign : *campaigns) {
    auto trials = store.trials(campaign.id);
    if (!trials) return tl::make_unexpected(trials.error());
    for (StoredTrial& trial : *trials) {
      if (trial.state == TrialState::kEnded) out.push_back(std::move(trial));
    }
  }
  return out;
}

Result<std::vector<BugEntry>> all_bugs(const CommonOptions& common) {
  auto store = open_old_store(common);
  if (!store) return tl::make_unexpected(store.error());
  auto trials = all_trials(*store);
  if (!trials) return tl::make_unexpected(trials.error());
  return distinct_bugs(*trials, {});
}

Result<BugEntry> bug_named(const CommonOptions& common, const std::string& id) {
  auto bugs = all_bugs(common);
  if (!bugs) return tl::make_unexpected(bugs.error());
  std::vector<BugEntry> matches;
  for (BugEntry& bug : *bugs) {
    if (bug.id.starts_with(id)) matches.push_back(std::move(bug));
  }
  if (matches.size() == 1) return std::move(matches[0]);
  std::vector<std::string> ids;
  ids.reserve(matches.size());
  for (const BugEntry& bug : matches) ids.push_back(bug.id);
  if (!ids.empty()) return usage(fmt::format("'{}' may be {}", id, fmt::join(ids, " or ")));
  return usage(fmt::format("no bug '{}': {} bugs lists them", id, common.program));
}

}  // namespace

Result<StoredTrial> trial_named(const CommonOptions& common, const std::string& name) {
  auto store = open_old_store(common);
  if (!store) return tl::make_unexpected(store.error());
  auto trials = all_trials(*store);
  if (!trials) return tl::make_unexpected(trials.error());
  for (StoredTrial& trial : *trials) {
    if (trial_name(trial) == name) return std::move(trial);
  }
  return usage(fmt::format(
      "no trial '{}': a trial is named CAMPAIGN/NUMBER, as {} report --json prints them", name,
      common.program));
}

Result<double> parse_since(const std::string& text, double now) {
  double count = 0;
  const char* end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, count);
  if (read.ec == std::errc() && read.ptr + 1 == end && count >= 0) {
    const std::string_view units = "mhd";
    const double seconds[] = {60, 3600, 86400};
    const std::size_t unit = units.find(*read.ptr);
    if (unit != std::string_view::npos) return now - count * seconds[unit];
  }
  std::tm date = {};
  const char* rest = strptime(text.c_str(), "%Y-%m-%d", &date);
  if (rest != nullptr && *rest == '\0') return static_cast<double>(timegm(&date));
  return usage(
      fmt::format("--since '{}': give minutes, hours or days (90m, 36h, 7d) or a date "
                  "(2026-11-25, UTC)",
                  text));
}

int report_campaign(const CommonOptions& common, const ReportOptions& options) {
  auto report = read_report(common, options);
  if (!report) return fail(report.error());
  if (auto written = write_formats(*report, options); !written) return fail(written.error());
  if (common.json) {
    auto json = soak_json(report->campaign, report->trials);
    json["coverage"] = coverage_json(report->coverage);
    fmt::print("{}\n", json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
  } else if (options.ktap) {
    fmt::print("{}", campaign_ktap(*report));
  } else {
    fmt::print("{}{}", soak_summary(report->campaign, report->trials),
               coverage_text(report->coverage));
  }
  return exit_code_of(soak_outcome(report->trials));
}

int list_bugs(const CommonOptions& common) {
  auto bugs = all_bugs(common);
  if (!bugs) return fail(bugs.error());
  if (common.json) {
    fmt::print("{}\n", bugs_json(*bugs));
    return kExitExpected;
  }
  if (bugs->empty()) fmt::print("no campaign found a bug\n");
  for (const BugEntry& bug : *bugs) {
    fmt::print("{}  {:>6} x  {}  {}\n", bug.id, thousands(bug.trials.size()),
               utc_time(bug.last_seen), escape_for_terminal(bug.title));
  }
  return kExitExpected;
}

int show_bug(const CommonOptions& common, const std::string& id) {
  auto bug = bug_named(common, id);
  if (!bug) return fail(bug.error());
  if (common.json) {
    fmt::print("{}\n", bugs_json({*bug}));
    return kExitExpected;
  }
  fmt::print("{}", bug_text(*bug, common.program));
  const std::string evidence = sample_evidence(*bug);
  if (!evidence.empty()) fmt::print("\n{}", escape_for_terminal(evidence));
  return kExitExpected;
}

int mail_bug(const CommonOptions& common, const std::string& id) {
  auto bug = bug_named(common, id);
  if (!bug) return fail(bug.error());
  auto store = open_old_store(common);
  if (!store) return fail(store.error());
  auto trials = all_trials(*store);
  if (!trials) return fail(trials.error());
  fmt::print("{}", mail_text(*bug, *trials, sample_evidence(*bug)));
  return kExitExpected;
}

int replay_trial(const CommonOptions& common, const std::string& name,
                 const std::vector<std::string>& more) {
  auto trial = trial_named(common, name);
  if (!trial) return fail(trial.error());
  std::string command = trial->repeat;
  for (const std::string& word : more) command += " " + shell_word(word);
  fmt::print(stderr, "{}\n", command);
  execl("/bin/sh", "sh", "-c", command.c_str(), static_cast<char*>(nullptr));
  return fail({ErrorKind::kBroken, fmt::format("cannot start /bin/sh: {}", std::strerror(errno))});
}

}  // namespace mmquake
