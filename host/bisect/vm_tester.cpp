// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/bisect/vm_tester.h"

#include <fmt/format.h>

#include <chrono>

#include "host/kernel/files.h"
#include "host/kernel/reporter.h"

namespace mmquake::bisect {
namespace {

constexpr int kSilentBoots = 3;

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::string status_text(const TrialStatus& now, double of) {
  if (now.phase == "booting") return fmt::format("booting {:.0f} s", now.seconds);
  return fmt::format("{} {:.0f} s of {:.0f}, {} rounds", now.phase, now.seconds, of, now.rounds);
}

}  // namespace

Result<BuildResult> VmTester::build(const Commit& commit, const StatusSink& status) {
  const auto start = std::chrono::steady_clock::now();
  auto kernel = settings_.kernel_of(commit);
  if (!kernel) return tl::make_unexpected(kernel.error());
  auto attempt =
      world_.build(*kernel, [&](const Progress& progress) { status(to_text(progress)); });
  if (!attempt) return tl::make_unexpected(attempt.error());
  BuildResult out;
  out.from_cache = attempt->from_cache;
  if (!attempt->artifact) {
    out.end = BuildEnd::kSkipped;
    out.reason = attempt->reason;
    out.seconds = seconds_since(start);
    if (attempt->log.empty()) return out;
    // The next build of the tree writes another.
    auto text = kernel::read_text(attempt->log);
    if (!text) return tl::make_unexpected(text.error());
    const auto to = settings_.directory / fmt::format("build-{:.12}.log", commit.id);
    if (auto kept = kernel::write_text(to, *text); !kept) return tl::make_unexpected(kept.error());
    return out;
  }
  auto plan = world_.plan(*kernel, *attempt->artifact);
  if (!plan) return tl::make_unexpected(plan.error());
  plans_[commit.id] = std::move(*plan);
  silent_boots_ = 0;
  out.seconds = seconds_since(start);
  return out;
}

Result<TrialOutcome> VmTester::trial(const Commit& commit, std::uint32_t number, std::uint64_t seed,
                                     const StatusSink& status) {
  const auto start = std::chrono::steady_clock::now();
  const VmTrial& what = settings_.trial;
  TrialPlan plan = plans_.at(commit.id);
  plan.guest.workload = what.workload;
  plan.guest.params = what.params;
  plan.guest.seconds = what.seconds;
  plan.guest.widen = what.widen;
  plan.guest.seed = seed;
  plan.name = fmt::format("trial-{:06}", number);
  plan.directory = settings_.directory / plan.name;
  // Of a bisection that was killed in this very trial.
  if (auto fresh = kernel::remove_path(plan.directory); !fresh) {
    return tl::make_unexpected(fresh.error());
  }
  auto result = world_.run(std::move(plan), number,
                           [&](const TrialStatus& now) { status(status_text(now, what.seconds)); });
  if (world_.should_stop()) return kernel::interrupted_error();
  if (!result && result.error().kind == ErrorKind::kUsage) {
    return TrialOutcome{TrialEnd::kSkipped, "", result.error().message, seconds_since(start)};
  }
  if (!result) return tl::make_unexpected(result.error());
  TrialOutcome out = outcome_of(what, *result, settings_.signature());
  out.seconds = seconds_since(start);
  const bool is_silent = result->end == mmquake::TrialEnd::kNoBoot && out.end == TrialEnd::kBroken;
  silent_boots_ = is_silent ? silent_boots_ + 1 : 0;
  if (silent_boots_ == kSilentBoots) out.end = TrialEnd::kSkipped;
  return out;
}

}  // namespace mmquake::bisect
