// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/report/html_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <kainjow/mustache.hpp>

#include "host/campaign/rates.h"
#include "host/console/console.h"
#include "host/report/html_plots.h"
#include "host/report/html_templates.h"
#include "host/report/report.h"

namespace mmquake {
namespace {

using Data = kainjow::mustache::data;

// A guest's text: control characters and what is no UTF-8 become visible; mustache does the rest.
Data safe(const std::string& text) {
  return Data(escape_for_terminal(text));
}

Data number(std::uint64_t n) {
  return Data(std::to_string(n));
}

std::string seconds_text(double seconds) {
  return seconds > 0 ? fmt::format("{:.1f}", seconds) : "";
}

std::string median_text(const BugEntry& bug) {
  return bug.seconds.empty() ? "" : seconds_text(percentile(bug.seconds, 0.5));
}

std::string what_text(const StoredTrial& trial) {
  if (trial.verdict == Outcome::kFound && !trial.findings.empty()) return trial.findings[0].title;
  return trial.reason.substr(0, trial.reason.find('\n'));
}

Data bug_data(const BugEntry& bug) {
  Data out = Data::type::object;
  out.set("id", bug.id);
  out.set("fresh", Data(bug.fresh));
  out.set("title", safe(bug.title));
  out.set("kind", safe(bug.kind));
  out.set("signature", safe(bug.signature));
  out.set("source", bug.source == "oracle" ? "workload's oracle" : "kernel's console");
  out.set("count", number(bug.trials.size()));
  const std::string median = median_text(bug);
  out.set("median", median.empty() ? Data(Data::type::bool_false) : Data(median));
  out.set("kernels", fmt::format("{}", fmt::join(bug.kernels, ", ")));
  out.set("items", fmt::format("{}", fmt::join(bug.items, ", ")));
  out.set("first", utc_time(bug.first_seen));
  out.set("last", utc_time(bug.last_seen));
  out.set("sample", trial_name(bug.sample));
  out.set("directory", bug.sample.directory);
  out.set("repeat", bug.sample.repeat);
  return out;
}

Data kernel_data(const std::string& name, const Tally& tally) {
  Data out = Data::type::object;
  const auto count = [](std::uint64_t n) { return n == 0 ? Data("") : number(n); };
  out.set("name", name);
  out.set("trials", number(tally.trials));
  out.set("passed", count(tally.passed));
  out.set("found", count(tally.found));
  out.set("broken", count(tally.broken));
  out.set("skipped", count(tally.skipped));
  out.set("migrations", number(tally.migrations));
  out.set("overlaps", number(tally.overlaps));
  out.set("bound", tally.found == 0 ? bound_text(tally.passed_seconds) : "");
  return out;
}

Data trial_data(const StoredTrial& trial) {
  Data out = Data::type::object;
  out.set("number", number(trial.number));
  out.set("verdict", std::string(to_string(trial.verdict)));
  out.set("kernel", trial.kernel);
  out.set("item", trial.item);
  out.set("seed", number(trial.seed));
  out.set("seconds", seconds_text(trial.seconds));
  out.set("rounds", number(trial.rounds));
  out.set("overlaps", number(trial.overlaps));
  out.set("what", safe(what_text(trial)));
  return out;
}

// The worst that a cell holds decides its colour.
Data cell_data(const Tally& tally) {
  Data out = Data::type::object;
  const char* name = tally.found > 0     ? "found"
                     : tally.broken > 0  ? "broken"
                     : tally.passed > 0  ? "passed"
                     : tally.skipped > 0 ? "skipped"
                                         : "";
  std::string text;
  const auto add = [&](std::uint64_t n, const char* what) {
    if (n > 0) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", n, what);
  };
  add(tally.found, "found");
  add(tally.broken, "broken");
  add(tally.passed, "passed");
  add(tally.skipped, "skipped");
  out.set("class", name);
  out.set("text", text);
  return out;
}

void add_matrix(Data& page, const CampaignReport& report) {
  std::set<std::string> items;
  for (const auto& [key, tally] : report.cells) items.insert(key.second);
  Data columns = Data::type::list;
  Data rows = Data::type::list;
  for (const auto& [kernel, tally] : report.kernels) columns << Data(kernel);
  for (const std::string& item : items) {
    Data cells = Data::type::list;
    for (const auto& [kernel, tally] : report.kernels) {
      const auto cell = report.cells.find({kernel, item});
      cells << cell_data(cell == report.cells.end() ? Tally() : cell->second);
    }
    Data row = Data::type::object;
    row.set("name", item);
    row.set("cells", cells);
    rows << row;
  }
  page.set("columns", columns);
  page.set("rows", rows);
}

Data heat_data(const CoverageMap& map, const std::string& row, const std::string& column) {
  const CoverageCell cell = cell_at(map, row, column);
  Data out = Data::type::object;
  if (map.impossible.contains({row, column})) {
    out.set("heat", "x");
    out.set("found", Data(Data::type::bool_false));
    out.set("text", "");
    out.set("title", safe(fmt::format("{}, {}: do not go together", row, column)));
    return out;
  }
  out.set("heat", std::to_string(heat_of(map, cell)));
  out.set("found", cell.found > 0 ? number(cell.found) : Data(Data::type::bool_false));
  out.set("text", cell.ran > 0       ? std::to_string(cell.ran)
                  : cell.broken > 0  ? "broken"
                  : cell.skipped > 0 ? "skipped"
                                     : "");
  out.set("title", safe(fmt::format("{}, {}: {} ran, {} found, {} broken, {} skipped", row, column,
                                    cell.ran, cell.found, cell.broken, cell.skipped)));
  return out;
}

void add_coverage(Data& page, const CampaignReport& report) {
  Data maps = Data::type::list;
  for (const CoverageMap& map : report.coverage) {
    Data columns = Data::type::list;
    for (const std::string& column : map.columns) columns << safe(column);
    Data rows = Data::type::list;
    for (const std::string& name : map.rows) {
      Data cells = Data::type::list;
      for (const std::string& column : map.columns) cells << heat_data(map, name, column);
      Data row = Data::type::object;
      row.set("name", safe(name));
      row.set("cells", cells);
      rows << row;
    }
    Data one = Data::type::object;
    one.set("row_param", map.row_param);
    one.set("column_param", map.column_param);
    one.set("words", coverage_words(map));
    one.set("columns", columns);
    one.set("rows", rows);
    maps << one;
  }
  page.set("maps", maps);
}

void add_plots(Data& page, const CampaignReport& report) {
  std::vector<DotRow> detect;
  for (const BugEntry& bug : report.bugs) {
    if (!bug.seconds.empty()) detect.push_back({bug.id, bug.seconds});
  }
  page.set("has_detect", Data(!detect.empty()));
  page.set("detect_plot", dot_rows_svg(detect, "s"));
  std::vector<Dot> overlaps;
  for (const StoredTrial& trial : report.trials) {
    if (trial.overlaps == 0) continue;
    overlaps.push_back({static_cast<double>(trial.number), static_cast<double>(trial.overlaps),
                        std::string(to_string(trial.verdict))});
  }
  page.set("has_overlaps", Data(!overlaps.empty()));
  page.set("overlap_plot", scatter_svg(overlaps, "trial", "overlaps"));
}

void add_lists(Data& page, const CampaignReport& report) {
  Data bugs = Data::type::list;
  for (const BugEntry& bug : report.bugs) bugs << bug_data(bug);
  Data kernels = Data::type::list;
  for (const auto& [name, tally] : report.kernels) kernels << kernel_data(name, tally);
  Data broken_list = Data::type::list;
  for (const BrokenEntry& entry : report.broken) {
    Data row = Data::type::object;
    row.set("count", number(entry.count));
    row.set("first", number(entry.first_trial));
    row.set("reason", safe(entry.reason));
    broken_list << row;
  }
  Data trials = Data::type::list;
  for (const StoredTrial& trial : report.trials) trials << trial_data(trial);
  page.set("bugs", bugs);
  page.set("has_bugs", Data(!report.bugs.empty()));
  page.set("kernels", kernels);
  page.set("broken", broken_list);
  page.set("has_broken", Data(!report.broken.empty()));
  page.set("all_trials", trials);
}

Data frame(const CampaignReport& report) {
  Data page = Data::type::object;
  page.set("style", kStyleCss);
  page.set("script", kTableJs);
  page.set("name", report.campaign.name);
  return page;
}

std::string render(const char* source, const Data& page) {
  kainjow::mustache::mustache templ{std::string(source)};
  return templ.render(page);
}

}  // namespace

std::string campaign_html(const CampaignReport& report) {
  Data page = frame(report);
  const auto fresh = std::count_if(report.bugs.begin(), report.bugs.end(),
                                   [](const BugEntry& bug) { return bug.fresh; });
  page.set("id", std::to_string(report.campaign.id));
  page.set("seed", std::to_string(report.campaign.seed));
  page.set("started", utc_time(report.campaign.started_at));
  page.set("state", report.campaign.ended_at > 0 ? "ended " + utc_time(report.campaign.ended_at)
                                                 : std::string("not ended"));
  page.set("trials", thousands(report.total.trials));
  page.set("bug_count", thousands(report.bugs.size()));
  page.set("bugs_class", report.bugs.empty() ? "passed" : "found");
  page.set("new_count", thousands(static_cast<std::uint64_t>(fresh)));
  page.set("broken_count", thousands(report.total.broken));
  page.set("broken_class", report.total.broken == 0 ? "" : "broken");
  page.set("migrations", thousands(report.total.migrations));
  page.set("overlaps", thousands(report.total.overlaps));
  add_lists(page, report);
  add_matrix(page, report);
  add_coverage(page, report);
  add_plots(page, report);
  return render(kCampaignHtml, page);
}

std::string bug_html(const CampaignReport& report, const BugEntry& bug,
                     const std::string& evidence) {
  Data page = bug_data(bug);
  page.set("style", kStyleCss);
  page.set("name", report.campaign.name);
  page.set("evidence", evidence.empty() ? Data("The trial's files are gone.") : safe(evidence));
  return render(kBugHtml, page);
}

Result<> write_html(const CampaignReport& report, const std::filesystem::path& directory) {
  std::error_code failed;
  std::filesystem::create_directories(directory, failed);
  if (failed) {
    return broken(fmt::format("cannot make '{}': {}", directory.string(), failed.message()));
  }
  for (const BugEntry& bug : report.bugs) {
    auto written = write_file(directory / fmt::format("bug-{}.html", bug.id),
                              bug_html(report, bug, sample_evidence(bug)));
    if (!written) return written;
  }
  return write_file(directory / "index.html", campaign_html(report));
}

}  // namespace mmquake
