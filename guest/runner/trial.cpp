// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/runner/trial.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "guest/runner/evidence.h"
#include "guest/runner/kernel_taint.h"
#include "guest/runner/params.h"

namespace mmquake {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

namespace {

constexpr milliseconds kTick{100};    // how often the runner shows that it lives
constexpr milliseconds kGrace{1500};  // for what quiescing alone sets free
// For roles that still step but ignore stopping(); or the longest limit of a role, who may be in
// one call for as long.
constexpr milliseconds kQuiesceLimit{10000};
constexpr int kUserSamples = 5;
constexpr std::uint64_t kLeastRounds = 3;
constexpr double kMoreSeconds = 30;  // the host waits for longer than this
// What each CPU has to do before a role counts as stuck and not as starved: about two seconds of an
// emulated guest with four CPUs on two cores, a tenth of one with KVM.
constexpr std::uint32_t kGraceWork = 20;
constexpr seconds kGraceWorkLimit{120};  // for it; a host this busy lets nothing be judged
// How long a role may go on waiting while the kernel works for it; the host waits for longer.
constexpr seconds kSlowLimit{30};

Deadline after(nanoseconds time) {
  return std::chrono::steady_clock::now() + time;
}

const char* name_of(RoleState state) {
  switch (state) {
    case RoleState::kParked:
      return "parked";
    case RoleState::kRunning:
      return "running";
    case RoleState::kHung:
      return "hung";
    case RoleState::kDone:
      return "done";
  }
  return "unknown";
}

bool is_busy(const RoleSlot& slot) {
  const RoleState state = slot.state.load();
  return state == RoleState::kRunning || state == RoleState::kHung;
}

}  // namespace

class Trial::Env final : public Environment {
 public:
  Env(Trial& trial, ParamValues params) : trial_(trial), params_(std::move(params)) {}

  std::int64_t param_int(const std::string& name) const override {
    return std::strtoll(param(name).c_str(), nullptr, 10);  // validated by resolve_params
  }
  std::string param(const std::string& name) const override {
    const auto it = params_.find(name);
    if (it == params_.end()) {
      fmt::print(stderr, "mmquake: the workload asks for parameter '{}', which it never declared\n",
                 name);
      std::abort();
    }
    return it->second;
  }
  std::uint64_t seed() const override { return trial_.plan_.seed; }
  const std::vector<int>& memory_nodes() const override { return trial_.facts_.memory_nodes; }
  const std::vector<int>& cpus() const override { return trial_.facts_.cpus; }
  nanoseconds scaled(nanoseconds t) const override { return trial_.scaled(t); }
  Counter counter(const std::string& name) override { return trial_.counters_.get(name); }
  void note(const std::string& text) override { trial_.sink_.send(Note{text}); }

 private:
  Trial& trial_;
  ParamValues params_;
};

Trial::Trial(const GuestPlan& plan, const Registry& registry, SharedState& state, RecordSink& sink,
             Widener* widener)
    : plan_(plan),
      registry_(registry),
      state_(state),
      sink_(sink),
      widener_(widener),
      counters_(state),
      innocent_waits_(counters_.get("innocent_waits")),
      late_rounds_(counters_.get("late_rounds")),
      rescues_(counters_.get("rescues")),
      slow_waits_(counters_.get("slow_waits")) {}

Trial::~Trial() = default;

Summary Trial::run() {
  Result<> result = prepare();
  if (result) {
    result = rounds();
  }
  return conclude(std::move(result));
}

Result<> Trial::prepare() {
  pulse("checking what the workload needs");
  const Registry::Entry* entry = registry_.find(plan_.workload);
  if (entry == nullptr) {
    return broken(fmt::format("this guest has no workload '{}'", plan_.workload));
  }
  Result<ParamValues> params = resolve_params(entry->info, plan_.params);
  if (!params) {
    return tl::make_unexpected(params.error());
  }
  facts_ = read_machine_facts();
  if (Result<> met = check_needs(entry->info.needs, facts_); !met) {
    return met;
  }
  Result<HugetlbReservation> hugetlb =
      HugetlbReservation::reserve(entry->info.needs.hugetlb_2m_per_node, facts_.memory_nodes);
  if (!hugetlb) {
    return tl::make_unexpected(hugetlb.error());
  }
  hugetlb_ = std::move(*hugetlb);
  pulse("setting the workload up");
  env_ = std::make_unique<Env>(*this, std::move(*params));
  workload_ = entry->make();
  if (Result<> set_up = workload_->set_up(*env_); !set_up) {
    return context(fmt::format("set up workload '{}'", plan_.workload), set_up.error());
  }
  roles_ = workload_->roles();
  if (!plan_.widen.empty()) {
    if (widener_ == nullptr) {
      return broken("the plan widens, and this guest has no widener module");
    }
    if (Result<> set = widener_->configure(plan_.widen, plan_.seed); !set) {
      return context("set up the widener", set.error());
    }
  }
  pulse("starting the roles");
  host_ = std::make_unique<RoleHost>(state_, roles_, facts_.cpus, plan_.seed);
  return host_->start(after(scaled(seconds(10))));
}

Result<> Trial::rounds() {
  state_.started_ns.store(monotonic_ns());
  // A kernel that has complained is not to be trusted any more, and the host reads the complaint
  // from the console: the trial is over.
  const std::uint64_t before = kernel_complaints();
  while (!enough() && kernel_complaints() == before) {
    if (Result<> played = play_round(); !played) {
      return played;
    }
    if (stuck_for_good_) {
      break;
    }
    pulse("checking");
    if (std::optional<FindingRecord> finding = workload_->check()) {
      report(std::move(*finding));
    }
  }
  return {};
}

bool Trial::enough() const {
  return findings_ >= std::max<std::uint64_t>(plan_.max_findings, 1) || is_time_over() ||
         (plan_.max_rounds != 0 && state_.round.load() >= plan_.max_rounds);
}

// On a starved host the time may be over before anything was tried: then there is some more.
bool is_time_over(double elapsed_s, double budget_s, std::uint64_t rounds) {
  return elapsed_s >= budget_s + (rounds < kLeastRounds ? std::min(budget_s, kMoreSeconds) : 0);
}

bool Trial::is_time_over() const {
  return mmquake::is_time_over(elapsed_s(), plan_.seconds, state_.round.load());
}

// One round: all roles run until they have arrived, or one of them is over its limit.
Result<> Trial::play_round() {
  state_.stopping.store(0);
  stopping_since_.reset();
  state_.round.fetch_add(1);
  // Before the gate opens, so that a role which is slow to wake is not taken for parked.
  for (std::uint32_t i = 0; i < roles_.size(); ++i) {
    state_.roles[i].progress_ns.store(monotonic_ns());
    state_.roles[i].state.store(RoleState::kRunning);
  }
  state_.gate.open();
  while (!wait_for_all(next_limit())) {
    if (const std::optional<std::string> death = host_->death()) {
      stuck_for_good_ = true;
      return broken(*death);
    }
    if (is_time_over()) {
      stop_round();  // the budget is over: bodies that can end early do
    }
    if (!late_roles().empty()) {
      if (Result<> handled = handle_stuck(); !handled || stuck_for_good_) {
        return handled;
      }
    } else if (ignored_stopping()) {
      stuck_for_good_ = true;
      return broken("a role makes steps but ignores stopping():\n" + role_states());
    }
  }
  return {};
}

void Trial::stop_round() {
  if (!stopping_since_) {
    stopping_since_ = std::chrono::steady_clock::now();
    state_.stopping.store(1);
  }
}

bool Trial::ignored_stopping() const {
  milliseconds limit = kQuiesceLimit;
  for (const Role& role : roles_) {
    limit = std::max(limit, role.limit);
  }
  return stopping_since_ && std::chrono::steady_clock::now() >= *stopping_since_ + scaled(limit);
}

// True: everyone has arrived. False: the deadline or the next tick came first.
bool Trial::wait_for_all(Deadline deadline) {
  pulse("in a round");
  return state_.gate.wait_arrivals(static_cast<std::uint32_t>(roles_.size()),
                                   std::min(deadline, after(kTick)));
}

Deadline Trial::next_limit() const {
  std::int64_t earliest = std::numeric_limits<std::int64_t>::max();
  for (std::uint32_t i = 0; i < roles_.size(); ++i) {
    if (is_busy(state_.roles[i])) {
      earliest =
          std::min(earliest, state_.roles[i].progress_ns.load() + scaled(roles_[i].limit).count());
    }
  }
  return earliest == std::numeric_limits<std::int64_t>::max() ? after(kTick)
                                                              : Deadline(nanoseconds(earliest));
}

std::vector<std::uint32_t> Trial::late_roles() const {
  std::vector<std::uint32_t> late;
  const std::int64_t now = monotonic_ns();
  for (std::uint32_t i = 0; i < roles_.size(); ++i) {
    const RoleSlot& slot = state_.roles[i];
    if (is_busy(slot) && now - slot.progress_ns.load() >= scaled(roles_[i].limit).count()) {
      late.push_back(i);
    }
  }
  std::sort(late.begin(), late.end(), [this](std::uint32_t a, std::uint32_t b) {
    return state_.roles[a].progress_ns.load() < state_.roles[b].progress_ns.load();
  });
  return late;
}

// Quiesce, grace, evidence, judgement, rescue. On success the round goes on or is over.
Result<> Trial::handle_stuck() {
  stop_round();
  // Quiesced: every role has arrived or is itself over its limit.
  while (state_.gate.arrived() + late_roles().size() < roles_.size() && !ignored_stopping()) {
    if (wait_for_all(next_limit())) {
      break;
    }
    if (const std::optional<std::string> death = host_->death()) {
      stuck_for_good_ = true;
      return broken(*death);
    }
  }
  const Result<std::vector<std::uint32_t>> stuck = stuck_after_grace();
  if (!stuck) {
    return tl::make_unexpected(stuck.error());
  }
  if (stuck->empty()) {
    late_rounds_.add();  // slow, starved by the host, or freed by the quiescing: nobody's fault
    return {};
  }
  const std::string states = role_states();
  for (const std::uint32_t index : *stuck) {
    if (Result<> judged = judge_and_rescue(index, states); !judged || stuck_for_good_) {
      return judged;
    }
  }
  return finish_round();
}

// The roles for which the kernel does nothing either, or not for ever.
Result<std::vector<std::uint32_t>> Trial::stuck_after_grace() {
  const Deadline limit = after(scaled(kSlowLimit));
  for (;;) {
    const std::uint64_t work = workload_->kernel_work();
    Result<std::vector<std::uint32_t>> stuck = late_after_grace();
    if (!stuck || stuck->empty() || workload_->kernel_work() == work ||
        std::chrono::steady_clock::now() >= limit) {
      return stuck;
    }
    slow_waits_.add();
  }
}

// The late roles that made no step while there was time for one: kGrace of it, and work that every
// CPU has done beside them.
Result<std::vector<std::uint32_t>> Trial::late_after_grace() {
  std::vector<std::pair<std::uint32_t, std::uint64_t>> suspects;
  for (const std::uint32_t index : late_roles()) {
    suspects.emplace_back(index, state_.roles[index].steps.load());
  }
  const std::uint32_t goal = state_.cpu_work.ask(kGraceWork);
  const Deadline grace = after(scaled(kGrace));
  const Deadline limit = after(scaled(kGraceWorkLimit));
  auto now = std::chrono::steady_clock::now();
  // A role that spins in the kernel keeps its CPU: that one is not waited for to the end.
  while (now < grace || (state_.cpu_work.behind(goal) > 0 && now < limit)) {
    if (wait_for_all(after(kTick))) {
      return std::vector<std::uint32_t>();
    }
    now = std::chrono::steady_clock::now();
  }
  // Who sleeps keeps no CPU from the work.
  const auto on_cpu = std::count_if(suspects.begin(), suspects.end(), [this](const auto& suspect) {
    const RoleSlot& slot = state_.roles[suspect.first];
    return is_runnable(slot.pid.load(), slot.tid.load());
  });
  if (state_.cpu_work.behind(goal) > static_cast<std::uint32_t>(on_cpu)) {
    stuck_for_good_ = true;
    return broken(fmt::format("{} CPUs got no time from the host for {} s: it is too busy",
                              state_.cpu_work.behind(goal), scaled(kGraceWorkLimit) / seconds(1)));
  }
  std::vector<std::uint32_t> stuck;
  for (const auto& [index, steps] : suspects) {
    const RoleSlot& slot = state_.roles[index];
    if (is_busy(slot) && slot.steps.load() == steps) {
      stuck.push_back(index);
    }
  }
  return stuck;
}

// Whoever was rescued arrives, as does whom he had blocked.
Result<> Trial::finish_round() {
  const Deadline end = after(scaled(kGrace));
  while (!wait_for_all(end)) {
    if (std::chrono::steady_clock::now() >= end) {
      stuck_for_good_ = true;
      return findings_ > 0
                 ? Result<>()
                 : broken("roles did not end their round after a rescue: " + role_states());
    }
  }
  return {};
}

Result<> Trial::judge_and_rescue(std::uint32_t index, const std::string& others) {
  RoleSlot& slot = state_.roles[index];
  TaskEvidence seen = take_evidence(slot.pid.load(), slot.tid.load());
  for (int i = 1; i < kUserSamples && seen.in_user && is_busy(slot); ++i) {
    wait_for_all(after(kTick));
    seen = take_evidence(slot.pid.load(), slot.tid.load());
  }
  if (!is_busy(slot)) {
    late_rounds_.add();  // freed by the rescue of another, or just now
    return {};
  }
  slot.state.store(RoleState::kHung);
  if (!seen.alive) {
    stuck_for_good_ = true;
    return broken(
        fmt::format("the thread of role '{}' is gone: the console says whether the "
                    "kernel killed it",
                    roles_[index].name));
  }
  const Stuck stuck{roles_[index].name, slot.tid.load(), seen.stack, seen.wchan};
  pulse("judging a stuck role");
  std::optional<FindingRecord> finding = workload_->judge(stuck);
  if (finding) {
    finding->role = finding->role.empty() ? stuck.role : finding->role;
    finding->evidence.insert({{"stack", seen.stack},
                              {"wchan", seen.wchan},
                              {"status", seen.status},
                              {"syscall", seen.syscall},
                              {"roles", others}});
    report(std::move(*finding));
  } else {
    innocent_waits_.add();
  }
  pulse("rescuing a stuck role");
  const bool rescued = workload_->rescue(stuck);
  const Deadline end = after(scaled(kGrace));
  while (rescued && is_busy(slot) && std::chrono::steady_clock::now() < end) {
    wait_for_all(end);
  }
  if (is_busy(slot)) {
    stuck_for_good_ = true;
    return finding || findings_ > 0
               ? Result<>()
               : broken(fmt::format("role '{}' made no step for {} ms, the workload does not blame "
                                    "the kernel, and it could not be freed; wchan '{}', stack:\n{}",
                                    stuck.role, scaled(roles_[index].limit) / milliseconds(1),
                                    seen.wchan, seen.stack));
  }
  rescues_.add();
  return {};
}

std::string Trial::role_states() const {
  std::string text;
  const std::int64_t now = monotonic_ns();
  for (std::uint32_t i = 0; i < roles_.size(); ++i) {
    const RoleSlot& slot = state_.roles[i];
    text += fmt::format("{}{}: {}, {} steps, tid {}", text.empty() ? "" : "\n", roles_[i].name,
                        name_of(slot.state.load()), slot.steps.load(), slot.tid.load());
    if (is_busy(slot)) {
      const TaskEvidence seen = take_evidence(slot.pid.load(), slot.tid.load());
      text += fmt::format(", no step for {} ms, wchan '{}', stack:\n{}",
                          (now - slot.progress_ns.load()) / 1'000'000, seen.wchan, seen.stack);
    }
  }
  return text;
}

void Trial::report(FindingRecord finding) {
  ++findings_;
  finding.time_s = elapsed_s();
  finding.round = state_.round.load();
  sink_.send(finding);
}

void Trial::pulse(const char* phase) {
  state_.runner_phase.store(phase);
  state_.runner_progress_ns.store(monotonic_ns());
}

double Trial::elapsed_s() const {
  const std::int64_t started = state_.started_ns.load();
  return started == 0 ? 0 : static_cast<double>(monotonic_ns() - started) / 1e9;
}

nanoseconds Trial::scaled(nanoseconds t) const {
  return nanoseconds(
      static_cast<std::int64_t>(static_cast<double>(t.count()) * std::max(plan_.slowdown, 1.0)));
}

Result<> Trial::check_widener(Summary& summary) {
  Result<std::vector<WidenerCount>> counts = widener_->read();
  if (!counts) {
    return context("read the widener's counters", counts.error());
  }
  summary.widener = std::move(*counts);
  const auto may_miss = [&](const std::string& name) {
    return std::any_of(plan_.widen.begin(), plan_.widen.end(), [&](const WidenSite& site) {
      return site.may_miss && ("|" + site.site + "|").find("|" + name + "|") != std::string::npos;
    });
  };
  for (const WidenerCount& site : summary.widener) {
    if (site.effective == 0 && !may_miss(site.site)) {
      return broken(
          fmt::format("the widener site {} had no effective delay ({} hits): the race "
                      "was not widened",
                      site.site, site.hits));
    }
  }
  return {};
}

Summary Trial::conclude(Result<> result) {
  Summary summary;
  summary.time_s = elapsed_s();
  summary.rounds = state_.round.load();
  pulse("ending");
  if (host_ != nullptr && !stuck_for_good_ && !host_->finish(after(scaled(seconds(5)))) && result) {
    result = broken("the roles did not end: " + role_states());
  }
  if (workload_ != nullptr && result && findings_ == 0) {
    pulse("verifying that work was done");
    result = workload_->verify_work();
  }
  if (workload_ != nullptr && host_ != nullptr && result && findings_ == 0 && !stuck_for_good_) {
    pulse("looking at what is left behind");
    if (std::optional<FindingRecord> finding = workload_->check_aftermath()) {
      report(std::move(*finding));
    }
  }
  if (widener_ != nullptr && !plan_.widen.empty()) {
    Result<> widened = check_widener(summary);
    if (!widened && result && findings_ == 0) {
      result = std::move(widened);
    }
  }
  summary.counters = counters_.values();
  if (findings_ > 0) {
    summary.outcome = Outcome::kFound;
  } else if (result) {
    summary.outcome = Outcome::kPassed;
  } else {
    summary.outcome =
        result.error().kind == ErrorKind::kSkipped ? Outcome::kSkipped : Outcome::kBroken;
  }
  if (!result) {
    summary.reason = result.error().message;
  }
  return summary;
}

}  // namespace mmquake
