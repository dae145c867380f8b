// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/campaign/soak.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <iterator>
#include <limits>
#include <list>
#include <mutex>
#include <set>
#include <system_error>
#include <thread>

namespace mmquake {

// A trial that runs.
struct Soak::Slot {
  StoredTrial trial;
  std::size_t item = 0;
  double began = 0;  // of the world's clock
  TrialPlan plan;
  KeptVm vm;                                  // the thread's, until there is a result
  TrialStatus status;                         // with the mutex of Slots held
  std::optional<Result<TrialResult>> result;  // with the mutex of Slots held
  std::thread thread;
};

// All of them, each on a thread of its own.
class Soak::Slots {
 public:
  Slots() = default;
  Slots(const Slots&) = delete;
  Slots& operator=(const Slots&) = delete;
  ~Slots() {
    for (Slot& slot : slots_) slot.thread.join();
  }

  std::size_t size() const { return slots_.size(); }
  bool empty() const { return slots_.empty(); }

  void launch(Slot prepared, SoakWorld& world) {
    slots_.push_back(std::move(prepared));
    Slot& slot = slots_.back();
    slot.thread = std::thread([this, &slot, &world] {
      auto result = world.run(slot.plan, slot.trial.number, slot.vm, [&](const TrialStatus& now) {
        const std::lock_guard<std::mutex> lock(mutex_);
        slot.status = now;
      });
      const std::lock_guard<std::mutex> lock(mutex_);
      slot.result.emplace(std::move(result));
      ended_.notify_one();
    });
  }

  // One that has ended, its thread joined.
  std::optional<Slot> take_ended() {
    std::list<Slot> taken;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      const auto ended = std::find_if(slots_.begin(), slots_.end(),
                                      [](const Slot& slot) { return slot.result.has_value(); });
      if (ended == slots_.end()) return std::nullopt;
      taken.splice(taken.begin(), slots_, ended);
    }
    taken.front().thread.join();
    return std::move(taken.front());
  }

  // Until one has ended, or for so long.
  void wait(double seconds) {
    std::unique_lock<std::mutex> lock(mutex_);
    ended_.wait_for(lock, std::chrono::duration<double>(seconds), [&] {
      return std::any_of(slots_.begin(), slots_.end(),
                         [](const Slot& slot) { return slot.result.has_value(); });
    });
  }

  template <typename Look>
  void each(const Look& look) {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (const Slot& slot : slots_) look(slot);
  }

 private:
  std::mutex mutex_;
  std::condition_variable ended_;
  std::list<Slot> slots_;
};

namespace {

constexpr std::size_t kMostLogShapes = 4096;  // a guest may print what it likes

std::uint64_t counter_or_zero(const Counters& counters, const std::string& name) {
  const auto found = counters.find(name);
  return found == counters.end() ? 0 : found->second;
}

// For one role of the composition alone by half: who waits while the others run at full speed meets
// more of what they do. So rare delays may be less rare there.
WidenSite with_role(WidenSite site, const Composition& composition, std::uint64_t number) {
  constexpr double kOftener = 4;
  if (number % 2 != 0 || !site.comm.empty()) return site;
  std::vector<std::string_view> roles{"writer"};
  for (const Slot slot : kAllSlots) {
    if (slot != Slot::kBacking && composition.has(slot)) roles.push_back(to_string(slot));
  }
  site.comm = roles[number / 2 % roles.size()];
  site.probability = std::min(1.0, site.probability * kOftener);
  return site;
}

// Half of the trials are widened, each of them at one site in three: a site that the composition
// does not come by costs nothing. By seed and composition alone, so that a trial that is started
// again widens as before.
std::vector<WidenSite> drawn_sites(const std::vector<WidenSite>& choices,
                                   const Composition& composition, std::uint64_t seed) {
  std::vector<WidenSite> out;
  const std::uint64_t any = trial_seed(seed, 0) / 2;
  if (choices.empty() || trial_seed(seed, 0) % 2 != 0) return out;
  for (std::size_t i = 0; i < choices.size(); ++i) {
    const std::uint64_t number = trial_seed(seed, i + 1);
    if (number % 3 == 0) out.push_back(with_role(choices[i], composition, number / 3));
  }
  if (out.empty()) {
    out.push_back(with_role(choices[any % choices.size()], composition, any / choices.size()));
  }
  return out;
}

StoredTrial planned_trial(const StoredCampaign& campaign, const CampaignItem& item,
                          std::uint64_t number) {
  StoredTrial out;
  out.campaign = campaign.id;
  out.number = number;
  out.item = item_label(item);
  out.kernel = item.kernel;
  out.machine = item.machine;
  out.case_name = item.case_name;
  out.workload = item.workload;
  out.params = item.params;
  out.seed = trial_seed(campaign.seed, number);
  return out;
}

void fill_in(StoredTrial& trial, const TrialResult& result) {
  trial.verdict = result.verdict.outcome;
  trial.reason = result.verdict.reason;
  trial.kernel_release = result.hello.kernel;
  trial.seconds = result.summary.time_s;
  trial.slowdown = result.slowdown;
  trial.rounds = result.summary.rounds;
  trial.migrations = migrations_of(result.summary.counters);
  trial.overlaps = overlaps_of(result.summary.counters);
  for (const Finding& finding : result.verdict.findings) {
    trial.findings.push_back({finding.title, finding.kind, finding.source, finding.signature,
                              finding.seconds, finding.round});
  }
}

void count(SoakCounts& counts, std::set<std::string>& signatures, const StoredTrial& trial) {
  ++counts.trials;
  counts.passed += trial.verdict == Outcome::kPassed ? 1 : 0;
  counts.found += trial.verdict == Outcome::kFound ? 1 : 0;
  counts.broken += trial.verdict == Outcome::kBroken ? 1 : 0;
  counts.skipped += trial.verdict == Outcome::kSkipped ? 1 : 0;
  counts.rounds += trial.rounds;
  counts.migrations += trial.migrations;
  counts.overlaps += trial.overlaps;
  if (trial.verdict != Outcome::kFound) return;
  for (const StoredFinding& finding : trial.findings) {
    signatures.insert(finding.signature);
  }
  counts.bugs = signatures.size();
}

}  // namespace

std::uint64_t migrations_of(const Counters& counters) {
  if (counters.contains("migrations")) return counters.at("migrations");
  std::uint64_t sum = 0;
  bool any = false;
  for (const auto& [name, value] : counters) {
    if (!name.starts_with("migrated/")) continue;
    any = true;
    sum += value;
  }
  if (any) return sum;
  if (counters.contains("thp_migrations")) return counters.at("thp_migrations");
  return counter_or_zero(counters, "pages/moved");
}

std::uint64_t overlaps_of(const Counters& counters) {
  return counter_or_zero(counters, "overlaps");
}

std::filesystem::path trial_directory(const std::filesystem::path& campaign, std::uint64_t number,
                                      int attempt) {
  std::string name = fmt::format("trial-{:06}", number);
  if (attempt > 1) name += fmt::format("-attempt-{}", attempt);
  return campaign / name;
}

void prune_passed(const std::filesystem::path& directory) {
  std::vector<std::filesystem::path> rest;
  std::error_code error;
  for (std::filesystem::directory_iterator at(directory, error), end; !error && at != end;
       at.increment(error)) {
    if (at->path().filename() != "verdict.json") rest.push_back(at->path());
  }
  for (const auto& path : rest) std::filesystem::remove_all(path, error);
}

Soak::Soak(StoredCampaign campaign, std::vector<CampaignItem> items, Store& store, SoakWorld& world,
           SoakListener& listener, SoakSettings settings)
    : campaign_(std::move(campaign)),
      items_(std::move(items)),
      store_(store),
      world_(world),
      listener_(listener),
      settings_(settings),
      schedule_(items_, campaign_.seed, settings_.back_off),
      composer_(settings_.composer_learns),
      slots_(std::make_unique<Slots>()) {}

Soak::~Soak() = default;

double Soak::used() const {
  return campaign_.used_seconds + world_.now() - began_;
}

bool Soak::has_budget(const CampaignItem& item) const {
  if (campaign_.budget_trials > 0 && next_number_ > campaign_.budget_trials) return false;
  return campaign_.budget_seconds <= 0 || used() + item.seconds <= campaign_.budget_seconds;
}

// What was there before, in its order: the schedule comes to the same state.
Result<> Soak::load() {
  auto trials = store_.trials(campaign_.id);
  if (!trials) return tl::make_unexpected(trials.error());
  for (StoredTrial& trial : *trials) {
    next_number_ = std::max(next_number_, trial.number + 1);
    if (trial.state != TrialState::kEnded) {
      again_.push_back(std::move(trial));
      continue;
    }
    count(counts_, bugs_, trial);
    log_shapes_.insert(trial.new_log_shapes.begin(), trial.new_log_shapes.end());
    if (trial.verdict == Outcome::kPassed) prune_passed(trial.directory);
    const auto item = std::find_if(items_.begin(), items_.end(), [&](const CampaignItem& one) {
      return item_label(one) == trial.item;
    });
    if (item == items_.end()) continue;
    const auto index = static_cast<std::size_t>(item - items_.begin());
    schedule_.start(index);
    // Waits are over: whoever goes on may have mended what was broken.
    take_in(trial, index, std::numeric_limits<double>::lowest());
  }
  return {};
}

CampaignItem Soak::item_of(const StoredTrial& trial, std::size_t item) const {
  CampaignItem out = items_[item];
  out.params = trial.params;
  if (out.composed) {
    out.widen = drawn_sites(out.widen_choices, Composition::from_params(trial.params), trial.seed);
  }
  return out;
}

// A composition is drawn when its trial is planned, and stored with it: what is learned meanwhile
// does not change it.
Result<> Soak::compose(StoredTrial& trial, const CampaignItem& item) {
  if (!item.composed) return {};
  auto drawn = composer_.draw(trial.seed, world_.traits_of(item), item.kernel, item.only);
  if (!drawn) return tl::make_unexpected(drawn.error());
  for (auto& [slot, word] : drawn->params()) trial.params[slot] = word;
  return {};
}

void Soak::take_in(const StoredTrial& trial, std::size_t item, double now) {
  Outcome outcome = trial.verdict;
  if (items_[item].composed) {
    const Composition drawn = Composition::from_params(trial.params);
    if (outcome == Outcome::kSkipped) {
      composer_.learn_lack(trial.kernel, drawn, trial.reason);
      outcome = Outcome::kPassed;  // what this composition lacks says nothing about the next one
    }
    ComposedTrial composed{drawn, trial.seconds, trial.overlaps, {}, !trial.new_log_shapes.empty()};
    for (const StoredFinding& finding : trial.findings) composed.titles.push_back(finding.title);
    composer_.learn(composed);
  }
  schedule_.end(item, outcome, trial.wall_seconds, now);
}

// A store that cannot be written (the disk is full) stops the soak where it is, until it can, or
// until somebody or the budget ends it.
Result<> Soak::insist(const std::string& what, const std::function<Result<>()>& write) {
  double pause = settings_.store_retry;
  for (;;) {
    auto written = write();
    if (written) return written;
    const bool late = campaign_.budget_seconds > 0 && used() > campaign_.budget_seconds;
    if (world_.should_stop() || late) return context(what, written.error());
    listener_.on_note(fmt::format("{}: {}; the soak waits, and tries again in {:.0f} s", what,
                                  written.error().message, pause));
    wait(pause);
    pause = std::min(2 * pause, settings_.store_retry_longest);
  }
}

// Of the world's time; ends early when the soak is to stop.
void Soak::wait(double seconds) {
  const double until = world_.now() + seconds;
  while (world_.now() < until && !world_.should_stop()) {
    show_status();
    std::this_thread::sleep_for(std::chrono::duration<double>(settings_.poll));
  }
}

bool Soak::has_room(const CampaignItem& item) {
  std::vector<CampaignItem> running;
  slots_->each([&](const Slot& slot) { running.push_back(items_[slot.item]); });
  return running.empty() || world_.has_room(running, item);
}

// What was planned or killed before comes first, under its number and seed.
Result<bool> Soak::start_again() {
  StoredTrial trial = again_.front();
  const auto item = std::find_if(items_.begin(), items_.end(), [&](const CampaignItem& one) {
    return item_label(one) == trial.item;
  });
  if (item != items_.end()) {
    if (!has_room(*item)) return false;
    again_.erase(again_.begin());
    return start_trial(std::move(trial), static_cast<std::size_t>(item - items_.begin()), {});
  }
  again_.erase(again_.begin());
  if (auto begun = begin(trial); !begun) return tl::make_unexpected(begun.error());
  trial.verdict = Outcome::kBroken;
  trial.reason = "its case or kernel is no longer part of the campaign";
  if (auto done = finish(trial); !done) return tl::make_unexpected(done.error());
  return true;
}

Result<bool> Soak::start_next() {
  if (!again_.empty()) return start_again();
  const auto drawn = schedule_.draw(used());
  if (!drawn || !has_budget(items_[*drawn]) || !has_room(items_[*drawn])) return false;
  return start_new(*drawn, {});
}

Result<bool> Soak::start_new(std::size_t item, KeptVm vm) {
  StoredTrial trial = planned_trial(campaign_, items_[item], next_number_);
  if (auto composed = compose(trial, items_[item]); !composed) {
    return tl::make_unexpected(composed.error());
  }
  if (auto planned = insist("plan a trial", [&] { return store_.plan_trial(trial); }); !planned) {
    return tl::make_unexpected(planned.error());
  }
  ++next_number_;
  return start_trial(std::move(trial), item, std::move(vm));
}

// The row says `running` before anything of the trial is there.
Result<> Soak::begin(StoredTrial& trial) {
  trial.started_at = world_.today();
  return insist(fmt::format("start trial {}", trial.number), [&]() -> Result<> {
    auto attempt = store_.start_trial(campaign_.id, trial.number, trial.started_at);
    if (!attempt) return tl::make_unexpected(attempt.error());
    trial.attempt = *attempt;
    return {};
  });
}

Result<bool> Soak::start_trial(StoredTrial trial, std::size_t item, KeptVm vm) {
  if (auto begun = begin(trial); !begun) return tl::make_unexpected(begun.error());
  schedule_.start(item);
  Slot slot;
  slot.item = item;
  slot.began = world_.now();
  const std::filesystem::path directory =
      trial_directory(campaign_.directory, trial.number, trial.attempt);
  trial.directory = directory.string();
  auto plan = world_.prepare(item_of(trial, item), trial.seed);
  if (!plan) {
    slot.trial = std::move(trial);
    slot.result.emplace(tl::make_unexpected(plan.error()));
    return settle(std::move(slot));
  }
  plan->guest.seed = trial.seed;
  plan->name = directory.filename().string();
  plan->directory = directory;
  plan->keeps_vm = vm.trials.size() + 1 < items_[item].trials_per_boot;
  trial.kernel_key = plan->kernel.key;
  trial.repeat = plan->repeat_command;
  slot.trial = std::move(trial);
  slot.plan = std::move(*plan);
  slot.vm = std::move(vm);
  slots_->launch(std::move(slot), world_);
  return true;
}

// Into the store, then to who listens.
Result<> Soak::finish(StoredTrial& trial) {
  trial.state = TrialState::kEnded;
  trial.ended_at = world_.today();
  const auto write = [&] { return store_.end_trial(trial, used()); };
  auto ended = insist(fmt::format("end trial {}", trial.number), write);
  if (!ended) return ended;
  count(counts_, bugs_, trial);
  ++ended_here_;
  listener_.on_trial(trial);
  return {};
}

// What trials before have left in a VM (memory in pieces, poisoned pages) may break or stop one: it
// is started again, in a VM of its own.
bool Soak::is_used_up(const Slot& slot) {
  if (!*slot.result || (*slot.result)->before.empty()) return false;
  const Outcome outcome = (*slot.result)->verdict.outcome;
  return outcome == Outcome::kBroken || outcome == Outcome::kSkipped;
}

Result<bool> Soak::settle(Slot slot) {
  StoredTrial& trial = slot.trial;
  const Result<TrialResult>& result = *slot.result;
  const bool interrupted = result ? result->end == TrialEnd::kInterrupted : world_.should_stop();
  if (interrupted || is_used_up(slot)) {
    schedule_.cancel(slot.item);
    const auto write = [&] { return store_.give_back(campaign_.id, trial.number, used()); };
    if (auto given = insist(fmt::format("give trial {} back", trial.number), write); !given) {
      return tl::make_unexpected(given.error());
    }
    again_.push_back(std::move(trial));
    return false;
  }
  trial.wall_seconds = world_.now() - slot.began;
  if (result) {
    fill_in(trial, *result);
    std::copy_if(result->log_shapes.begin(), result->log_shapes.end(),
                 std::back_inserter(trial.new_log_shapes), [this](const std::string& shape) {
                   return log_shapes_.size() < kMostLogShapes && log_shapes_.insert(shape).second;
                 });
  } else {
    trial.verdict =
        result.error().kind == ErrorKind::kSkipped ? Outcome::kSkipped : Outcome::kBroken;
    trial.reason = result.error().message;
  }
  if (auto done = finish(trial); !done) return tl::make_unexpected(done.error());
  take_in(trial, slot.item, used());
  if (trial.verdict == Outcome::kPassed) prune_passed(trial.directory);
  if (trial.verdict == Outcome::kBroken) world_.forget(items_[slot.item]);
  note_kernel(slot.item, trial);
  if (slot.vm.machine != nullptr && !world_.should_stop() && has_budget(items_[slot.item])) {
    return start_new(slot.item, std::move(slot.vm));
  }
  return true;
}

void Soak::note_kernel(std::size_t item, const StoredTrial& trial) {
  if (trial.verdict != Outcome::kBroken) return;
  for (const Schedule::KernelState& kernel : schedule_.kernels()) {
    if (kernel.kernel != items_[item].kernel) continue;
    listener_.on_note(fmt::format("kernel {}: {} broken in a row, {} for {:.0f} s", kernel.kernel,
                                  kernel.broken_in_row, kernel.parked ? "parked" : "waits",
                                  kernel.ready_at - used()));
  }
}

Result<> Soak::settle_ended() {
  while (auto slot = slots_->take_ended()) {
    if (auto settled = settle(std::move(*slot)); !settled) {
      return tl::make_unexpected(settled.error());
    }
  }
  return {};
}

Result<> Soak::fill_slots() {
  while (slots_->size() < static_cast<std::size_t>(settings_.jobs) && !world_.should_stop()) {
    auto started = start_next();
    if (!started) return tl::make_unexpected(started.error());
    if (!*started) break;
    show_status();
  }
  return {};
}

// Nothing runs, and nothing will: the budget is used up, or ends before a kernel's wait does.
bool Soak::is_over() {
  if (!again_.empty()) return false;
  const double next = schedule_.next_draw(used());
  if (!std::isfinite(next)) return true;
  const auto drawn = schedule_.draw(next);
  if (!drawn) return true;
  if (campaign_.budget_trials > 0 && next_number_ > campaign_.budget_trials) return true;
  return campaign_.budget_seconds > 0 &&
         std::max(next, used()) + items_[*drawn].seconds > campaign_.budget_seconds;
}

void Soak::show_status() {
  SoakStatus status;
  status.counts = counts_;
  slots_->each([&](const Slot& slot) {
    const TrialStatus& now = slot.status;
    status.counts.rounds += now.rounds;
    status.counts.migrations += migrations_of(now.counters);
    status.counts.overlaps += overlaps_of(now.counters);
    std::string text = fmt::format("trial {} {}: {}", slot.trial.number, slot.trial.item,
                                   now.phase.empty() ? "starting the VM" : now.phase);
    if (now.phase == "running") {
      text += fmt::format(" {:.0f} of {:.0f} s", now.seconds, slot.plan.guest.seconds);
    } else if (!now.phase.empty()) {
      text += fmt::format(" {:.0f} s", now.seconds);
    }
    status.running.push_back(std::move(text));
  });
  status.used_seconds = used();
  for (const Schedule::KernelState& kernel : schedule_.kernels()) {
    if (kernel.broken_in_row == 0) continue;
    status.waiting.push_back(fmt::format(
        "{} {} after {} broken, {:.0f} s", kernel.kernel, kernel.parked ? "is parked" : "waits",
        kernel.broken_in_row, std::max(0.0, kernel.ready_at - status.used_seconds)));
  }
  if (campaign_.budget_seconds > 0) {
    status.left_seconds = std::max(0.0, campaign_.budget_seconds - status.used_seconds);
  }
  if (campaign_.budget_trials > 0) {
    status.left_trials =
        campaign_.budget_trials - std::min(campaign_.budget_trials, counts_.trials);
  }
  const double here = world_.now() - began_;
  if (here > 0) status.per_hour = static_cast<double>(ended_here_) / here * 3600;
  listener_.on_status(status);
}

Result<SoakEnd> Soak::run() {
  began_ = world_.now();
  if (auto loaded = load(); !loaded) return tl::make_unexpected(loaded.error());
  for (;;) {
    if (auto settled = settle_ended(); !settled) return tl::make_unexpected(settled.error());
    if (auto filled = fill_slots(); !filled) return tl::make_unexpected(filled.error());
    if (slots_->empty()) {
      if (world_.should_stop()) return SoakEnd::kInterrupted;
      if (is_over()) break;
    }
    show_status();
    slots_->wait(settings_.poll);
  }
  const auto write = [&] { return store_.end_campaign(campaign_.id, used(), world_.today()); };
  if (auto ended = insist("end the campaign", write); !ended) {
    return tl::make_unexpected(ended.error());
  }
  return SoakEnd::kBudget;
}

}  // namespace mmquake
