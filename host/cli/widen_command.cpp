// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/cli/widen_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>

#include "host/campaign/rates.h"
#include "host/cli/case_sides.h"
#include "host/cli/commands.h"
#include "host/cli/counted_trials.h"
#include "host/cli/interrupt.h"
#include "host/cli/kernel_command.h"
#include "host/cli/trial_options.h"
#include "host/console/debug_info.h"
#include "host/plan/widen_text.h"
#include "host/widen/site_search.h"

namespace mmquake {
namespace {

using json = nlohmann::json;

struct WidenSearchOptions {
  std::string case_name;
  double seconds = 0;  // guest time of a trial; 0: the bug kernel's, kMostSeconds at most
  std::uint64_t seed = 0;
  int samples = 3;
  int sites = 256;
  int trials = 160;
  int proof = 10;
};

// The guest's reason when a site cannot be probed: the harness's affair in a run, an answer here.
bool is_no_site(const Verdict& verdict) {
  return verdict.reason.starts_with("set up the widener: ");
}

constexpr double kMostSeconds = 10;
constexpr std::size_t kMostNamed = 3;  // sites of a trial, in its line
constexpr int kCountTrials = 3;        // until one ends without the bug, and tells what it counted

// The bug kernel's trials of a case, with delays that are not the case's own.
class CaseTrials {
 public:
  CaseTrials(Session& session, CaseSpec spec, Side side, TrialPlan plan,
             std::filesystem::path directory, std::uint64_t seed)
      : session_(session),
        spec_(std::move(spec)),
        side_(std::move(side)),
        plan_(std::move(plan)),
        directory_(std::move(directory)),
        seed_(seed) {}

  Result<ReportedTrial> run(const std::vector<WidenSite>& sites, bool samples) {
    return run_as(text_of(sites), sites, samples);
  }
  Result<ReportedTrial> run_as(const std::string& label, const std::vector<WidenSite>& sites,
                               bool samples) {
    return run_unbroken(
        session_, label, [&] { return next_trial(sites, samples); }, is_no_site);
  }

  Glimpse judge(const ReportedTrial& trial, bool widened) const {
    const TrialResult& result = trial.result;
    if (result.verdict.outcome == Outcome::kSkipped || is_no_site(result.verdict))
      return {Glimpse::Says::kCannot, 0};
    if (is_expected(spec_, side_, result)) {
      return {Glimpse::Says::kFound, seconds_until_verdict(result)};
    }
    if (result.verdict.outcome == Outcome::kFound) return {Glimpse::Says::kOther, 0};
    const auto& widener = result.summary.widener;
    const bool missed = widened && std::none_of(widener.begin(), widener.end(),
                                                [](const auto& site) { return site.hits > 0; });
    return {missed ? Glimpse::Says::kCannot : Glimpse::Says::kNotFound, 0};
  }

  std::string command(const std::vector<WidenSite>& sites, std::uint64_t seed) const {
    RunOptions run;
    run.workload = spec_.workload;
    run.kernel = side_.kernel;
    run.machine = plan_.machine.name;
    run.seconds = side_.seconds;
    run.bugs = side_.bugs;
    for (const auto& [key, value] : plan_.guest.params) {
      run.params.push_back(fmt::format("{}={}", key, value));
    }
    for (const WidenSite& site : sites) run.widen.push_back(widen_text(site));
    return run_repeat_command(session_.options(), run, seed);
  }

  static std::string text_of(const std::vector<WidenSite>& sites) {
    if (sites.size() > kMostNamed) {
      return fmt::format("{} sites from {} on", sites.size(), sites.front().site);
    }
    std::string out;
    for (const WidenSite& site : sites) out += (out.empty() ? "" : " ") + widen_text(site);
    return out.empty() ? "no delay" : out;
  }

 private:
  ReportedTrial next_trial(const std::vector<WidenSite>& sites, bool samples) {
    TrialPlan plan = plan_;
    plan.samples_stacks = samples;
    plan.guest.widen = sites;
    for (WidenSite& site : plan.guest.widen) site.may_miss = true;  // that is an answer
    const std::uint64_t seed = seed_ + static_cast<std::uint64_t>(count_++);
    return side_trial(side_, plan,
                      {.directory = directory_,
                       .name = fmt::format("trial-{:03}", count_),
                       .repeat_command = command(sites, seed),
                       .number = count_,
                       .of = 0,
                       .seed = seed});
  }

  Session& session_;
  CaseSpec spec_;
  Side side_;
  TrialPlan plan_;
  std::filesystem::path directory_;
  std::uint64_t seed_;
  int count_ = 0;
};

struct WidenSearchResult {
  std::vector<SiteSeen> sites;
  SiteArm best;
  FoundCount with, without;
  std::string command;
};

// "handle_userfault" of "handle_userfault+0x12"; nothing of a place that has no name of its own.
std::string function_at(const SymbolTable& symbols, std::uint64_t address) {
  const std::string place = symbols.place_of(address);
  const std::string name = place.substr(0, place.find('+'));
  return name == "_text" ? "" : name;
}

Result<std::vector<NamedStack>> sampled_stacks(CaseTrials& trials, const SymbolTable& symbols,
                                               int samples) {
  std::vector<NamedStack> out;
  for (int i = 0; i < samples; ++i) {
    auto ran = trials.run({}, true);
    if (!ran) return tl::make_unexpected(ran.error());
    for (const std::vector<std::uint64_t>& stack : ran->result.stacks) {
      NamedStack& named = out.emplace_back();
      for (std::size_t depth = 0; depth < stack.size(); ++depth) {
        // A caller goes on behind its call, which may be its last instruction.
        const std::uint64_t address = depth == 0 ? stack[depth] : stack[depth] - 1;
        named.push_back(function_at(symbols, address));
      }
    }
  }
  return out;
}

// Probes that delay nobody: how often each was hit in a trial.
Result<std::map<std::string, std::uint64_t>> counted_calls(CaseTrials& trials,
                                                           const std::vector<SiteSeen>& sites) {
  std::vector<WidenSite> probes;
  for (const SiteSeen& seen : sites) {
    WidenSite& probe = probes.emplace_back();
    probe.site = seen.function;
    probe.probability = 0;
  }
  std::map<std::string, std::uint64_t> out;
  // Who finds the bug at once ends without a summary.
  for (int i = 0; i < kCountTrials && out.empty(); ++i) {
    auto ran =
        trials.run_as(fmt::format("counting calls of {} functions", sites.size()), probes, false);
    if (!ran) return tl::make_unexpected(ran.error());
    for (const WidenerCount& count : ran->result.summary.widener) out[count.site] = count.hits;
  }
  return out;
}

// As flame graphs have them: the functions from outside in, and how often.
Result<> write_stacks(const std::filesystem::path& file, const std::vector<NamedStack>& stacks) {
  std::map<std::string, int> folded;
  for (const NamedStack& stack : stacks) {
    std::string row;
    for (auto at = stack.rbegin(); at != stack.rend(); ++at) {
      row += (row.empty() ? "" : ";") + (at->empty() ? "?" : *at);
    }
    ++folded[row];
  }
  std::string text;
  for (const auto& [row, times] : folded) text += fmt::format("{} {}\n", row, times);
  return write_file(file, text);
}

// The functions by which the case's bug kernel comes; its stacks are kept in `file`.
Result<std::vector<SiteSeen>> sites_to_try(CaseTrials& trials, const TrialPlan& plan,
                                           const WidenSearchOptions& options,
                                           const std::filesystem::path& file) {
  const auto debug_info = DebugInfo::open(plan.kernel.vmlinux);
  if (!debug_info) {
    return skipped("sites are looked up in the kernel's vmlinux, which this kernel lacks: " +
                   debug_info.error().message);
  }
  const SymbolTable& symbols = (*debug_info)->symbols();
  auto stacks = sampled_stacks(trials, symbols, options.samples);
  if (!stacks) return tl::make_unexpected(stacks.error());
  if (auto written = write_stacks(file, *stacks); !written) {
    return tl::make_unexpected(written.error());
  }
  const auto most = static_cast<std::size_t>(options.sites);
  const std::vector<SiteSeen> seen = sites_seen(*stacks, most);
  if (seen.empty()) return skipped("no stack of the kernel could be read");
  return sites_that_run(
      seen, [&](const std::string& function) { return symbols.callees(function); },
      [&](const std::vector<SiteSeen>& sites) { return counted_calls(trials, sites); }, most);
}

void print_sides(std::FILE* out, const std::vector<SiteSeen>& sites) {
  std::map<std::string, std::string> sides;
  for (const SiteSeen& seen : sites) {
    std::string& row = sides[seen.side];
    row += fmt::format("{}{} ({})", row.empty() ? "" : ", ", seen.function, seen.calls);
  }
  for (const auto& [side, row] : sides) fmt::print(out, "{}: {}\n", side, row);
}

// By turns, so that a host that gets busier is no one's disadvantage.
Result<> prove(CaseTrials& trials, int times, WidenSearchResult& out) {
  for (int i = 0; i < times; ++i) {
    for (const bool widened : {true, false}) {
      const std::vector<WidenSite> sites = widened ? out.best.sites : std::vector<WidenSite>();
      auto ran = trials.run(sites, false);
      if (!ran) return tl::make_unexpected(ran.error());
      (widened ? out.with : out.without).add(trials.judge(*ran, widened));
    }
  }
  return {};
}

void print_result(const CommonOptions& common, const WidenSearchResult& result) {
  if (!common.json) {
    fmt::print("\n{}: found in {}\nno delay: found in {}\n  {}\n",
               CaseTrials::text_of(result.best.sites), count_text(result.with),
               count_text(result.without), result.command);
    return;
  }
  json sites = json::array();
  for (const SiteSeen& seen : result.sites) {
    sites.push_back({{"function", seen.function},
                     {"side", seen.side},
                     {"stacks", seen.stacks},
                     {"calls", seen.calls}});
  }
  json best = json::array();
  for (const WidenSite& site : result.best.sites) best.push_back(widen_text(site));
  const json out = {{"tried", sites},
                    {"best", best},
                    {"found", count_json(result.with)},
                    {"found_without", count_json(result.without)},
                    {"command", result.command}};
  fmt::print("{}\n", out.dump(2, ' ', false, json::error_handler_t::replace));
}

Result<int> search_or_error(const CommonOptions& common, const WidenSearchOptions& options) {
  auto session = Session::open(common);
  if (!session) return tl::make_unexpected(session.error());
  auto spec = (*session)->catalogue().find_case(options.case_name);
  if (!spec) return tl::make_unexpected(spec.error());
  Side side = sides_of(*spec, options.seconds, 0).front();
  if (options.seconds <= 0) side.seconds = std::min(side.seconds, kMostSeconds);
  auto plan = plan_side(**session, *spec, side, {});
  if (!plan) return tl::make_unexpected(plan.error());
  auto directory = (*session)->run_directory("widen-search-" + spec->name);
  if (!directory) return tl::make_unexpected(directory.error());
  const std::uint64_t seed = options.seed != 0 ? options.seed : std::random_device{}();
  CaseTrials trials(**session, *spec, side, *plan, *directory, seed);
  auto to_try = sites_to_try(trials, *plan, options, *directory / "stacks.txt");
  if (!to_try) return tl::make_unexpected(to_try.error());
  WidenSearchResult result;
  result.sites = std::move(*to_try);
  if (result.sites.empty()) return skipped("no function of these stacks can be probed");
  fmt::print((*session)->human(),
             "stacks in {}; {} sites to try, and how often they were called in a trial:\n",
             (*directory / "stacks.txt").string(), result.sites.size());
  print_sides((*session)->human(), result.sites);
  auto best = search_sites(
      {.sites = result.sites, .trials = static_cast<std::uint64_t>(options.trials), .seed = seed},
      [&](const std::vector<WidenSite>& sites) -> Result<Glimpse> {
        auto ran = trials.run(sites, false);
        if (!ran) return tl::make_unexpected(ran.error());
        return trials.judge(*ran, !sites.empty());
      },
      [&](const SiteArm& arm) {
        fmt::print((*session)->human(), "    {} of {}{}\n", arm.hits, arm.trials,
                   arm.cannot ? ", cannot be probed there or nobody came by" : "");
      });
  if (!best) return tl::make_unexpected(best.error());
  result.best = std::move(*best);
  if (result.best.sites.empty()) {
    fmt::print((*session)->human(), "\nno delay was found that makes the bug show more often\n");
    if (common.json) print_result(common, result);
    return kExitUnexpected;
  }
  result.command = trials.command(result.best.sites, seed);
  if (auto proven = prove(trials, options.proof, result); !proven) {
    return tl::make_unexpected(proven.error());
  }
  print_result(common, result);
  return result.with.hits > result.without.hits ? kExitExpected : kExitUnexpected;
}

constexpr const char* kHelp =
    "\nRuns the case's bug kernel without delays, samples the kernel's stacks from outside, counts "
    "which\n"
    "functions run beneath them, and tries delays there, in groups that are halved when they find\n"
    "(docs/reproducing.md). What looks best is then run by turns with no delay at all, and both "
    "rates are\n"
    "printed.\n"
    "\nExamples:\n"
    "  mmquake widen search uffd-thp-migration\n"
    "  mmquake widen search split-no-sync --seconds 5 --trials 200\n";

void add_search(CLI::App& widen, CommonOptions& common, int& code) {
  const auto options = std::make_shared<WidenSearchOptions>();
  CLI::App* command = widen.add_subcommand("search", "Find the delays that make a case's bug show");
  command->footer(kHelp);
  command->add_option("CASE", options->case_name, "Its name (mmquake list)")->required();
  command->add_option("--seconds", options->seconds, "Guest time of a trial (default: up to 10)")
      ->check(CLI::Range(1.0, 3600.0, "1 to 3600"));
  command->add_option("--samples", options->samples, "Trials in which stacks are sampled")
      ->check(CLI::Range(1, 100, "1 to 100"))
      ->capture_default_str();
  command->add_option("--sites", options->sites, "How many functions may be tried")
      ->check(CLI::Range(1, 4000, "1 to 4000"))
      ->capture_default_str();
  command->add_option("--trials", options->trials, "Of the search, in all")
      ->check(CLI::Range(4, 10000, "4 to 10000"))
      ->capture_default_str();
  command->add_option("--proof", options->proof, "Trials of the best, and as many without delays")
      ->check(CLI::Range(1, 1000, "1 to 1000"))
      ->capture_default_str();
  command->add_option("--seed", options->seed, "Decides every random choice; 0 draws one");
  add_vm_options(*command, common);
  command->callback([&common, &code, options] {
    const auto done = search_or_error(common, *options);
    code = interrupted() ? interrupted_exit_code() : done ? *done : fail(done.error());
  });
}

}  // namespace

void add_widen_command(CLI::App& app, CommonOptions& common, int& code) {
  CLI::App* command = app.add_subcommand("widen", "Find where a delay makes a race be lost");
  command->callback([command, &code] {
    if (command->get_subcommands().empty()) code = fail(wrong_action(*command, "widen command"));
  });
  add_search(*command, common, code);
  // CLI11 would only say that a subcommand is required. Not before the others: they inherit it.
  command->allow_extras();
}

}  // namespace mmquake
