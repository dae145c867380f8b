// SPDX-License-Identifier: GPL-2.0-or-later
//
// A huge page is split, truncated or moved while somebody unmaps it or looks at it.
//
// Whoever unmaps clears the page table's entry first and takes the mapping off the page afterwards,
// both under the page table lock. In between the page is mapped by its own count and by no entry.
// A split promises that nobody maps the page any more, so it has to wait for that lock also where
// it finds an empty entry (732ed55823fc, 22061a1ffabd); and while it is at work the entries are
// migration entries, whose page nobody may ask for its mapcount (24d7275ce279) and no split of a
// PMD may take for a present page (99fa8a48203d).
//
// Two roles, many attempts a round. One attempt:
//
//   first    prepares a huge page
//   both     meet, wait for their own delay, run their operation at once
//   first    looks: what was not taken away must be there, what was given back must be zero
//
// The delays come from an OverlapTuner, which is fed with both operations' times; an attempt whose
// operations were at work at one time counts as `overlaps`. Most of what can be found here is the
// kernel's own word (a WARNING or BUG on the console), which the host reads.
//
// The parameter `provoke` breaks the rules: no-zap gives nothing back, so something comes back that
// must not; scribble overwrites what must stay.
#include <fmt/core.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "guest/memory/kernel_counters.h"
#include "guest/memory/page_map.h"
#include "guest/memory/probe_count.h"
#include "guest/race/overlap_tuner.h"
#include "guest/race/pair_gate.h"
#include "guest/runner/workload.h"
#include "workloads/split/scenario.h"

namespace mmquake {
namespace {

constexpr std::int64_t kUs = 1000;
// From the meeting to the common start: the one who slept has to get onto a CPU first.
constexpr std::int64_t kLeadNs = 50 * kUs;
constexpr std::int64_t kMaxDelayNs = 20'000 * kUs;
constexpr std::int64_t kRoundNs = 100'000 * kUs;
// To show progress, the kernel's counts are read now and then.
constexpr std::uint64_t kRoundsPerCount = 8;

Provoke provoke_from(std::string_view name) {
  if (name == "no-zap") {
    return Provoke::kNoZap;
  }
  return name == "scribble" ? Provoke::kScribble : Provoke::kNone;
}

// An event of /proc/vmstat since the start, kept in a counter as well.
struct KernelEvent {
  std::string name;
  Counter counter;
  std::uint64_t before = 0;

  void update(const KernelCounters& vmstat) {
    const std::uint64_t now = value_of(vmstat, name) - before;
    counter.add(now - std::min(now, counter.value()));
  }
};

class ThpSplit final : public Workload {
 public:
  static WorkloadInfo info();
  Result<> set_up(Environment& env) override;
  std::vector<Role> roles() override;
  std::optional<FindingRecord> check() override;
  Result<> verify_work() override;

 private:
  Result<> try_for_huge_page();
  void watch_function(Environment& env);
  Result<> count_events();
  // Is the page that was prepared a huge one?
  Result<bool> is_huge() const;
  void lead(RoleContext& context);
  void follow(RoleContext& context);
  Result<> attempt(RoleContext& context);
  Result<> look(std::uint64_t stamp);
  // Runs an operation after `delay_ns` from the meeting on.
  Result<TimeSpan> run(Result<> (SplitScenario::*operation)(), std::int64_t delay_ns);
  bool meet(RoleContext& context) {
    return gate_.meet([&] { return context.stopping() || failed_; });
  }
  void fail(Error error);

  std::unique_ptr<SplitScenario> scenario_;
  std::optional<PageMap> pages_;
  std::optional<PageFlags> flags_;
  PairGate gate_;
  std::optional<OverlapTuner> tuner_;
  OverlapTuner::Delays delays_;  // the first role's, handed over at a meeting
  TimeSpan second_span_;         // the second role's, the same
  std::uint64_t stamp_ = 0;
  std::uint64_t rounds_ = 0;

  std::vector<KernelEvent> events_;
  std::optional<ProbeCount> probe_;
  Counter calls_;
  Counter attempts_, overlaps_, huge_, not_huge_;
  std::mutex mutex_;  // finding_ and error_
  std::optional<FindingRecord> finding_;
  std::optional<Error> error_;
  std::atomic<bool> failed_{false};
};

WorkloadInfo ThpSplit::info() {
  WorkloadInfo info;
  info.name = "thp-split";
  info.summary = "huge pages that are split, cut or moved while somebody unmaps or reads them";
  info.exercises = {"split_huge_page_to_list",
                    "unmap_folio",
                    "MADV_DONTNEED",
                    "MADV_PAGEOUT",
                    "ftruncate",
                    "munlock",
                    "/proc/PID/smaps",
                    "move_pages"};
  info.needs.cpus = 2;
  info.needs.free_mib_per_node = 64;
  info.needs.files = {"/proc/self/pagemap", "/proc/kpageflags"};
  info.needs.thp = true;
  ParamSpec scenario;
  scenario.name = "scenario";
  scenario.type = ParamSpec::Type::kChoice;
  scenario.default_value = "anon-split-dontneed";
  scenario.choices = scenario_names();
  scenario.help = "who splits, cuts or moves the page, and who unmaps or reads it";
  ParamSpec provoke;
  provoke.name = "provoke";
  provoke.type = ParamSpec::Type::kChoice;
  provoke.default_value = "none";
  provoke.choices = {"none", "no-zap", "scribble"};
  provoke.help = "no-zap: nothing is given back; scribble: what must stay is overwritten";
  info.params = {scenario, provoke};
  return info;
}

Result<> ThpSplit::set_up(Environment& env) {
  const std::string name = env.param("scenario");
  const std::string provoke = env.param("provoke");
  scenario_ = make_scenario(name);
  if (!scenario_) {
    return broken("scenario '" + name + "' is declared and not made");
  }
  if (provoke != "none" && !scenario_->can(provoke_from(provoke))) {
    return usage(
        fmt::format("parameter provoke: '{}' does not exist for scenario {}", provoke, name));
  }
  tuner_.emplace(kMaxDelayNs, scenario_->focus());
  attempts_ = env.counter("attempts");
  overlaps_ = env.counter("overlaps");
  huge_ = env.counter("pages/huge");
  not_huge_ = env.counter("pages/not-huge");
  for (const char* event : {"thp_split_page", "thp_split_page_failed", "thp_split_pmd",
                            "thp_file_mapped", "pgmigrate_success", "thp_migration_success"}) {
    const bool shown = std::string_view(event) == "thp_migration_success";
    events_.push_back({event, env.counter(shown ? "thp_migrations" : event)});
  }
  Result<KernelCounters> vmstat = read_vmstat();
  if (!vmstat) {
    return tl::make_unexpected(vmstat.error());
  }
  if (!vmstat->contains(scenario_->proof())) {
    return skipped(fmt::format("/proc/vmstat has no {}", scenario_->proof()));
  }
  Result<PageMap> pages = PageMap::open_self();
  Result<PageFlags> flags = PageFlags::open();
  if (!pages || !flags) {
    return tl::make_unexpected(pages ? flags.error() : pages.error());
  }
  pages_ = std::move(*pages);
  flags_ = std::move(*flags);
  if (Result<> ready = scenario_->set_up(env.memory_nodes(), provoke_from(provoke)); !ready) {
    return ready;
  }
  if (Result<> tried = try_for_huge_page(); !tried) {
    return tried;
  }
  vmstat = read_vmstat();
  if (!vmstat) {
    return tl::make_unexpected(vmstat.error());
  }
  for (KernelEvent& event : events_) {
    event.before = value_of(*vmstat, event.name);
  }
  watch_function(env);
  return {};
}

void ThpSplit::watch_function(Environment& env) {
  if (scenario_->watched().empty()) {
    return;
  }
  Result<ProbeCount> probe = ProbeCount::start(scenario_->watched());
  if (!probe) {
    env.note(probe.error().message);
    return;
  }
  probe_.emplace(std::move(*probe));
  calls_ = env.counter("calls/" + probe_->function());
}

// Without huge pages no attempt would test anything.
Result<> ThpSplit::try_for_huge_page() {
  if (Result<> prepared = scenario_->prepare(++stamp_); !prepared) {
    return prepared;
  }
  Result<bool> huge = is_huge();
  if (!huge) {
    return tl::make_unexpected(huge.error());
  }
  return *huge ? Result<>() : Result<>(skipped("the kernel gave no huge page"));
}

Result<bool> ThpSplit::is_huge() const {
  const Result<PageEntry> entry = pages_->at(scenario_->huge_address());
  if (!entry) {
    return tl::make_unexpected(entry.error());
  }
  if (entry->pfn() == 0) {
    return false;
  }
  const Result<std::uint64_t> flags = flags_->of(entry->pfn());
  if (!flags) {
    return tl::make_unexpected(flags.error());
  }
  return has_flag(*flags, kKpfThp);
}

std::vector<Role> ThpSplit::roles() {
  std::vector<Role> roles(2);
  roles[0].name = scenario_->first_role();
  roles[0].body = [this](RoleContext& context) { lead(context); };
  roles[1].name = scenario_->second_role();
  roles[1].body = [this](RoleContext& context) { follow(context); };
  return roles;
}

void ThpSplit::fail(Error error) {
  const std::lock_guard lock(mutex_);
  if (!error_) {
    error_ = std::move(error);
  }
  failed_ = true;
}

Result<TimeSpan> ThpSplit::run(Result<> (SplitScenario::*operation)(), std::int64_t delay_ns) {
  wait_until_ns(gate_.met_at_ns() + kLeadNs + delay_ns);
  TimeSpan span;
  span.begin_ns = now_ns();
  const Result<> done = (scenario_.get()->*operation)();
  span.end_ns = now_ns();
  if (!done) {
    return tl::make_unexpected(done.error());
  }
  return span;
}

void ThpSplit::lead(RoleContext& context) {
  const std::int64_t until = now_ns() + kRoundNs;
  while (now_ns() < until && !context.stopping() && !failed_) {
    if (Result<> tried = attempt(context); !tried) {
      fail(tried.error());
    }
    context.step();
  }
  gate_.leave();
}

Result<> ThpSplit::attempt(RoleContext& context) {
  const std::uint64_t stamp = ++stamp_;
  if (Result<> prepared = scenario_->prepare(stamp); !prepared) {
    return prepared;
  }
  const Result<bool> huge = is_huge();
  if (!huge) {
    return tl::make_unexpected(huge.error());
  }
  (*huge ? huge_ : not_huge_).add();
  delays_ = tuner_->next(context.random().next());
  if (!meet(context)) {
    return {};
  }
  const Result<TimeSpan> span = run(&SplitScenario::first, delays_.first_ns);
  if (!span) {
    return tl::make_unexpected(span.error());
  }
  if (!meet(context)) {
    return {};
  }
  attempts_.add();
  overlaps_.add(tuner_->record(*span, second_span_) ? 1 : 0);
  return look(stamp);
}

Result<> ThpSplit::look(std::uint64_t stamp) {
  const Result<std::vector<SeenValue>> values = scenario_->look(stamp);
  if (!values) {
    return tl::make_unexpected(values.error());
  }
  if (std::optional<FindingRecord> finding = judge_values(*values)) {
    const std::lock_guard lock(mutex_);
    finding->role = scenario_->first_role();
    finding_ = std::move(finding);
  }
  return {};
}

void ThpSplit::follow(RoleContext& context) {
  while (meet(context)) {
    const Result<TimeSpan> span = run(&SplitScenario::second, delays_.second_ns);
    if (!span) {
      fail(span.error());
      break;
    }
    second_span_ = *span;
    context.step();
    if (!meet(context)) {
      break;
    }
  }
  gate_.leave();
}

Result<> ThpSplit::count_events() {
  const Result<KernelCounters> vmstat = read_vmstat();
  if (!vmstat) {
    return tl::make_unexpected(vmstat.error());
  }
  for (KernelEvent& event : events_) {
    event.update(*vmstat);
  }
  if (probe_) {
    const Result<std::uint64_t> calls = probe_->calls();
    if (!calls) {
      return tl::make_unexpected(calls.error());
    }
    calls_.add(*calls - std::min(*calls, calls_.value()));
  }
  return {};
}

std::optional<FindingRecord> ThpSplit::check() {
  gate_.reset();
  if (++rounds_ % kRoundsPerCount == 0) {
    if (Result<> counted = count_events(); !counted) {
      fail(counted.error());
    }
  }
  const std::lock_guard lock(mutex_);
  return std::exchange(finding_, std::nullopt);
}

Result<> ThpSplit::verify_work() {
  if (error_) {
    return tl::make_unexpected(*error_);
  }
  if (Result<> counted = count_events(); !counted) {
    return counted;
  }
  if (huge_.value() == 0) {
    return broken("no attempt had a huge page");
  }
  if (overlaps_.value() == 0) {
    return broken(fmt::format("the two sides never overlapped in {} attempts", attempts_.value()));
  }
  for (const KernelEvent& event : events_) {
    if (event.name == scenario_->proof() && event.counter.value() == 0) {
      return broken(fmt::format("/proc/vmstat counted no {}", event.name));
    }
  }
  if (probe_ && calls_.value() == 0) {
    return broken(fmt::format("the kernel never called {}", probe_->function()));
  }
  return {};
}

REGISTER_WORKLOAD(ThpSplit);

}  // namespace
}  // namespace mmquake
