// SPDX-License-Identifier: GPL-2.0-or-later
//
// mmquake compose: the space of random compositions, and draws from it.
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
    auto drawn = composer.draw(seed, machine_traits(*machine), "", options.only);
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

int code_or_fail(const Result<int>& result) {
  if (interrupted()) return interrupted_exit_code();
  return result ? *result : fail(result.error());
}

}  // namespace

int compose(const CommonOptions& common, const ComposeOptions& options) {
  return options.space ? print_space(common.json) : code_or_fail(print_draws(common, options));
}

}  // namespace mmquake
