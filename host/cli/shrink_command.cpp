// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/cli/shrink_command.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <random>

#include "host/campaign/rates.h"
#include "host/cli/interrupt.h"
#include "host/cli/report_command.h"
#include "host/cli/shrink_trials.h"
#include "host/console/console.h"
#include "host/shrink/c_program.h"

namespace mmquake {
namespace {

using json = nlohmann::json;

// What a shrink came to.
struct ShrinkResult {
  Shrunk shrunk;
  std::string command;
  std::filesystem::path c_file;  // empty: there is none
  std::string c_command;
  std::string no_c_file;  // why
  FoundCount composition, c;
};

std::map<std::string, std::string> defaults_of(const Session& session) {
  std::map<std::string, std::string> out;
  const auto workload = session.workloads().find(kComposeWorkload);
  if (!workload) return out;
  for (const WorkloadParam& param : workload->params) out[param.name] = param.default_value;
  return out;
}

// The start itself, for who wants nothing taken away: until it finds.
Result<Shrunk> as_it_is(const Subject& start, ShrinkTrials& trials, int most) {
  Shrunk out;
  out.smallest = start;
  while (out.trials < static_cast<std::uint64_t>(most)) {
    auto seen = trials.run(start);
    if (!seen) return tl::make_unexpected(seen.error());
    ++out.trials;
    if (seen->says == Glimpse::Says::kFound) return out;
  }
  return skipped(fmt::format("nothing was found in {} trials", most));
}

Result<Shrunk> make_small(Session& session, const ShrinkOptions& options, const Subject& start,
                          ShrinkTrials& trials) {
  if (options.as_is) return as_it_is(start, trials, options.run.trials);
  return shrink(
      start, defaults_of(session), static_cast<std::uint64_t>(options.run.trials),
      [&](const Subject& subject) { return trials.run(subject); },
      [&](const ShrinkStep& step) {
        fmt::print(session.human(), "{} {}: {}\n", step.taken ? "-" : "=", step.what, step.why);
      });
}

// By turns, so that a host that gets busier is no one's disadvantage.
Result<> prove(ShrinkTrials& trials, int times, ShrinkResult& out) {
  for (int i = 0; i < times; ++i) {
    auto seen = trials.run(out.shrunk.smallest);
    if (!seen) return tl::make_unexpected(seen.error());
    out.composition.add(*seen);
    if (out.c_file.empty()) continue;
    seen = trials.run_c(out.shrunk.smallest, out.c_file);
    if (!seen) return tl::make_unexpected(seen.error());
    out.c.add(*seen);
  }
  return {};
}

Result<> write_c_file(const std::filesystem::path& root, ShrinkTrials& trials, ShrinkResult& out) {
  const Subject& subject = out.shrunk.smallest;
  CProgramOrigin origin;
  origin.title = trials.title();
  origin.in_log = trials.in_log();
  origin.kernel = trials.kernel();
  auto elsewhere = trials.command_elsewhere(subject);
  if (!elsewhere) return tl::make_unexpected(elsewhere.error());
  origin.command = *elsewhere;
  std::vector<int> cpus;
  cpus.reserve(subject.machine.nodes.size());
  for (const NodeSpec& node : subject.machine.nodes) cpus.push_back(node.cpus);
  origin.machine = fmt::format("{} nodes of {} CPUs", cpus.size(), fmt::join(cpus, " and "));
  origin.nodes = static_cast<int>(subject.machine.nodes.size());
  auto text = c_program(subject.composition, origin);
  if (!text) {
    if (text.error().kind != ErrorKind::kSkipped) return tl::make_unexpected(text.error());
    out.no_c_file = text.error().message;
    return {};
  }
  const std::filesystem::path file = root / "reproducer.c";
  if (auto written = write_file(file, *text); !written) return written;
  out.c_file = file;
  auto command = trials.c_command(subject, file);
  if (!command) return tl::make_unexpected(command.error());
  out.c_command = *command;
  return {};
}

void print_json(const ShrinkTrials& trials, const ShrinkResult& done) {
  json steps = json::array();
  for (const ShrinkStep& step : done.shrunk.steps) {
    steps.push_back({{"what", step.what}, {"taken", step.taken}, {"why", step.why}});
  }
  json out = {{"title", trials.title()},
              {"signature", trials.signature()},
              {"composition", done.shrunk.smallest.composition.params()},
              {"command", done.command},
              {"trials", done.shrunk.trials},
              {"steps", steps},
              {"other_findings", trials.other_titles()},
              {"found", count_json(done.composition)}};
  if (done.c_file.empty()) {
    out["no_c_file"] = done.no_c_file;
  } else {
    out["c_file"] = {
        {"file", done.c_file.string()}, {"command", done.c_command}, {"found", count_json(done.c)}};
  }
  fmt::print("{}\n", out.dump(2, ' ', false, json::error_handler_t::replace));
}

void print_text(const ShrinkTrials& trials, const ShrinkResult& done) {
  for (const auto& [title, times] : trials.other_titles()) {
    fmt::print("also found, and not counted: {} ({} x)\n", one_line(title), times);
  }
  fmt::print("\n{}\n", one_line(trials.title()));
  const std::string composition = done.shrunk.smallest.composition.text();
  fmt::print("{}: found in {}\n  {}\n", composition, count_text(done.composition), done.command);
  if (done.c_file.empty()) {
    fmt::print("{}\n", done.no_c_file);
    return;
  }
  fmt::print("{}: found in {}\n  {}\n", done.c_file.string(), count_text(done.c), done.c_command);
}

// Less than half as often, as far as the counts tell.
bool is_worse(const FoundCount& c, const FoundCount& composition) {
  return 2 * c.hits * composition.trials < composition.hits * c.trials;
}

Result<int> shrink_or_error(const CommonOptions& common, ShrinkOptions options) {
  if (options.run.workload != kComposeWorkload) {
    return usage(
        fmt::format("only '{}' can be shrunk, not '{}'", kComposeWorkload, options.run.workload));
  }
  if (options.run.seed == 0) options.run.seed = std::random_device{}();
  auto session = Session::open(common);
  if (!session) return tl::make_unexpected(session.error());
  auto root = (*session)->run_directory("shrink");
  if (!root) return tl::make_unexpected(root.error());
  ShrinkTrials trials(**session, options.run, *root, options.signature);
  auto start = trials.prepare();
  if (!start) {
    std::error_code kept;  // a folder that holds something stays
    std::filesystem::remove(*root, kept);
    return tl::make_unexpected(start.error());
  }
  auto shrunk = make_small(**session, options, *start, trials);
  if (!shrunk) return tl::make_unexpected(shrunk.error());
  ShrinkResult done;
  done.shrunk = std::move(*shrunk);
  auto command = trials.command(done.shrunk.smallest);
  if (!command) return tl::make_unexpected(command.error());
  done.command = *command;
  if (auto written = write_c_file(*root, trials, done); !written) {
    return tl::make_unexpected(written.error());
  }
  if (auto proven = prove(trials, options.proof, done); !proven) {
    return tl::make_unexpected(proven.error());
  }
  if (common.json) {
    print_json(trials, done);
  } else {
    print_text(trials, done);
  }
  if (done.c_file.empty()) return kExitSkipped;
  return is_worse(done.c, done.composition) ? kExitUnexpected : kExitExpected;
}

}  // namespace

bool is_trial_name(const std::string& word) {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  const std::size_t slash = word.find('/');
  return slash != std::string::npos && slash > 0 && slash + 1 < word.size() &&
         std::all_of(word.begin(), word.begin() + static_cast<std::ptrdiff_t>(slash), is_digit) &&
         std::all_of(word.begin() + static_cast<std::ptrdiff_t>(slash) + 1, word.end(), is_digit);
}

Result<std::vector<std::string>> words_of_trial(const CommonOptions& common,
                                                const std::string& name,
                                                const std::filesystem::path& store,
                                                ShrinkOptions& options) {
  CommonOptions of_store = common;
  of_store.out = store;
  auto trial = trial_named(of_store, name);
  if (!trial) return tl::make_unexpected(trial.error());
  if (trial->workload != kComposeWorkload) {
    return usage(fmt::format("trial {} ran '{}': only '{}' can be shrunk", name, trial->workload,
                             kComposeWorkload));
  }
  if (trial->findings.empty()) return usage(fmt::format("trial {} found nothing", name));
  options.signature = trial->findings.front().signature;
  auto words = shell_words(trial->repeat);
  if (!words) return tl::make_unexpected(words.error());
  const auto run = std::find(words->begin(), words->end(), "run");
  if (run == words->end()) return broken("cannot read: " + trial->repeat);
  words->erase(words->begin(), run + 1);
  return words;
}

int shrink_composition(const CommonOptions& common, const ShrinkOptions& options) {
  const auto result = shrink_or_error(common, options);
  if (interrupted()) return interrupted_exit_code();
  return result ? *result : fail(result.error());
}

}  // namespace mmquake
