// SPDX-License-Identifier: GPL-2.0-or-later
//
// mmquake compose, mmquake shrink: the space of random compositions, and the way from a draw that
// found something to the smallest one that does.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <random>

#include "guest/protocol/composition.h"
#include "host/campaign/composer.h"
#include "host/cli/commands.h"
#include "host/cli/interrupt.h"
#include "host/console/console.h"

namespace mmquake {
namespace {

using json = nlohmann::json;

std::string needs_text(const Ingredient& one) {
  std::string out;
  if (one.machine != MachineTrait::kNothing) {
    out += fmt::format("needs {}", to_string(one.machine));
  }
  if (!one.because.empty()) out += fmt::format("{}{}", out.empty() ? "" : "; ", one.because);
  return out;
}

int print_space(bool as_json) {
  json all = json::object();
  for (const Slot slot : kAllSlots) {
    if (slot == Slot::kDisturber2) continue;  // the same list
    if (!as_json) fmt::print("{}\n", to_string(slot));
    for (const Ingredient& one : ingredients(slot)) {
      const std::string needs = needs_text(one);
      all[std::string(to_string(slot))].push_back(
          {{"name", one.name}, {"summary", one.summary}, {"rules", needs}});
      if (as_json) continue;
      fmt::print("  {:<17} {}\n", one.name, one.summary);
      if (!needs.empty()) fmt::print("  {:<17} ({})\n", "", needs);
    }
  }
  const std::size_t count = all_compositions().size();
  if (as_json) {
    fmt::print("{}\n", json{{"ingredients", all}, {"compositions", count}}.dump(2));
  } else {
    fmt::print(
        "\n{} compositions are allowed: a backing, and up to one mover, two disturbers and a\n"
        "watcher, at least one of which moves or disturbs.\n",
        count);
  }
  return kExitExpected;
}

std::vector<std::string> param_words(const Composition& composition) {
  std::vector<std::string> out;
  for (const auto& [key, value] : composition.params()) {
    out.push_back(fmt::format("{}={}", key, value));
  }
  return out;
}

Result<int> print_draws(const CommonOptions& common, const ComposeOptions& options) {
  auto session = Session::open(common);
  if (!session) return tl::make_unexpected(session.error());
  auto machine = (*session)->catalogue().machine(options.machine);
  if (!machine) return tl::make_unexpected(machine.error());
  const Composer composer;
  json all = json::array();
  for (int i = 0; i < options.count; ++i) {
    const std::uint64_t seed = options.seed + static_cast<std::uint64_t>(i);
    auto drawn = composer.draw(seed, machine_traits(*machine));
    if (!drawn) return tl::make_unexpected(drawn.error());
    RunOptions run;
    run.workload = kComposeWorkload;
    run.machine = options.machine;
    run.params = param_words(*drawn);
    const std::string command = run_repeat_command(common, run, seed);
    all.push_back({{"seed", seed}, {"composition", drawn->params()}, {"command", command}});
    if (!common.json) fmt::print("{}\n  {}\n", drawn->text(), command);
  }
  if (common.json) fmt::print("{}\n", all.dump(2));
  return kExitExpected;
}

// Runs one composition until it finds what is looked for, or the trials are used up.
class Shrinker {
 public:
  Shrinker(Session& session, const RunOptions& options, std::filesystem::path root)
      : session_(session), options_(options), root_(std::move(root)) {}

  Result<> prepare() {
    auto plan = session_.prepare(options_.kernel, options_.machine, options_.bugs);
    if (!plan) return tl::make_unexpected(plan.error());
    plan_ = std::move(*plan);
    auto params = parse_params(options_.params);
    if (!params) return tl::make_unexpected(params.error());
    if (auto fits = session_.workloads().check_params(options_.workload, *params); !fits) {
      return fits;
    }
    others_ = *params;
    for (const Slot slot : kAllSlots) others_.erase(std::string(to_string(slot)));
    start_ = Composition::from_params(*params);
    if (const auto wrong = objection(start_)) return usage(*wrong);
    return {};
  }

  const Composition& start() const { return start_; }
  const std::string& title() const { return title_; }

  // The same title as the first that was found; the first time any will do.
  Result<bool> finds(const Composition& composition) {
    for (int i = 0; i < options_.trials; ++i) {
      if (interrupted()) return broken("interrupted");
      auto ran = session_.run(trial_of(composition, i));
      if (!ran) return tl::make_unexpected(ran.error());
      const Verdict& verdict = ran->result.verdict;
      fmt::print(session_.human(), "  {}: {}\n", composition.text(), verdict_line(*ran, false));
      if (verdict.outcome != Outcome::kFound) continue;
      if (title_.empty()) title_ = verdict.findings.front().title;
      for (const Finding& finding : verdict.findings) {
        if (finding.title == title_) return true;
      }
    }
    return false;
  }

  std::string command(const Composition& composition) const {
    RunOptions options = options_;
    options.params = param_words(composition);
    for (const auto& [key, value] : others_) {
      options.params.push_back(fmt::format("{}={}", key, value));
    }
    return run_repeat_command(session_.options(), options, options_.seed);
  }

 private:
  ReportedTrial trial_of(const Composition& composition, int attempt) {
    ReportedTrial trial;
    trial.plan = plan_;
    trial.side = options_.bugs.empty() ? plan_.kernel.name : "bug put back";
    trial.number = attempt + 1;
    trial.of = options_.trials;
    trial.plan.guest.workload = options_.workload;
    trial.plan.guest.params = others_;
    for (const auto& [key, value] : composition.params()) trial.plan.guest.params[key] = value;
    trial.plan.guest.seconds = options_.seconds;
    trial.plan.guest.seed = options_.seed + static_cast<std::uint64_t>(attempt);
    trial.plan.name = fmt::format("trial-{:03}", ++count_);
    trial.plan.directory = root_ / trial.plan.name;
    trial.plan.repeat_command = command(composition);
    return trial;
  }

  Session& session_;
  const RunOptions& options_;
  std::filesystem::path root_;
  TrialPlan plan_;
  Composition start_;
  std::map<std::string, std::string> others_;
  std::string title_;
  int count_ = 0;
};

Result<int> shrink_or_error(const CommonOptions& common, RunOptions options) {
  if (options.workload != kComposeWorkload) {
    return usage(
        fmt::format("only '{}' can be shrunk, not '{}'", kComposeWorkload, options.workload));
  }
  if (options.seed == 0) options.seed = std::random_device{}();
  auto session = Session::open(common);
  if (!session) return tl::make_unexpected(session.error());
  auto root = (*session)->run_directory("shrink");
  if (!root) return tl::make_unexpected(root.error());
  Shrinker shrinker(**session, options, *root);
  if (auto prepared = shrinker.prepare(); !prepared) return tl::make_unexpected(prepared.error());
  auto found = shrinker.finds(shrinker.start());
  if (!found) return tl::make_unexpected(found.error());
  if (!*found) {
    return skipped(fmt::format("{} found nothing in {} trials: there is nothing to shrink",
                               shrinker.start().text(), options.trials));
  }
  auto smallest =
      shrink(shrinker.start(), [&](const Composition& one) { return shrinker.finds(one); });
  if (!smallest) return tl::make_unexpected(smallest.error());
  if (common.json) {
    fmt::print("{}\n", json{{"title", shrinker.title()},
                            {"composition", smallest->params()},
                            {"command", shrinker.command(*smallest)}}
                           .dump(2, ' ', false, json::error_handler_t::replace));
  } else {
    fmt::print("{}: {}\n  {}\n", escape_for_terminal(shrinker.title()), smallest->text(),
               shrinker.command(*smallest));
  }
  return kExitExpected;
}

int code_or_fail(const Result<int>& result) {
  if (interrupted()) return interrupted_exit_code();
  return result ? *result : fail(result.error());
}

}  // namespace

int compose(const CommonOptions& common, const ComposeOptions& options) {
  return options.space ? print_space(common.json) : code_or_fail(print_draws(common, options));
}

int shrink_composition(const CommonOptions& common, const RunOptions& options) {
  return code_or_fail(shrink_or_error(common, options));
}

}  // namespace mmquake
