// SPDX-License-Identifier: GPL-2.0-or-later
//
// A world without VMs for the tests of a soak. Its clock moves by the length of each trial, and
// when somebody looks at it while none runs: how fast the test's host is does not matter.
#pragma once

#include <atomic>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "host/campaign/soak.h"

namespace mmquake {

// A VM that waits for another trial.
class NoMachine final : public Machine {
 public:
  Result<MachineActivity> wait(std::chrono::milliseconds) override { return MachineActivity{}; }
  Result<> send(std::string_view) override { return {}; }
  Result<> inject_nmi() override { return {}; }
  Result<> resume() override { return {}; }
  Result<std::string> monitor(const std::string&) override { return std::string(); }
  Result<> dump(const std::filesystem::path&) override { return {}; }
  std::vector<VcpuTime> vcpu_times() override { return {}; }
  Result<> destroy() override { return {}; }
};

class FakeWorld final : public SoakWorld {
 public:
  using Trial = std::function<Result<TrialResult>(const TrialPlan& plan, std::uint64_t number,
                                                  const TrialObserver& observer)>;
  explicit FakeWorld(Trial trial) : trial_(std::move(trial)) {}

  double now() override {
    if (running_ == 0) clock_ms_ += 10;
    return static_cast<double>(clock_ms_) / 1000.0;
  }
  double today() override { return 1e9 + now(); }
  bool should_stop() override { return stop; }
  bool has_room(const std::vector<CampaignItem>& running, const CampaignItem&) override {
    return running.size() < room;
  }
  std::set<MachineTrait> traits_of(const CampaignItem& /*item*/) override { return traits; }
  Result<TrialPlan> prepare(const CampaignItem& item, std::uint64_t seed) override {
    const auto failure = unprepared.find(item.kernel);
    if (failure != unprepared.end()) return tl::make_unexpected(failure->second);
    TrialPlan plan;
    plan.kernel.name = item.kernel;
    plan.kernel.key = "key-" + item.kernel;
    plan.guest.workload = item.workload;
    plan.guest.params = item.params;
    plan.guest.widen = item.widen;
    plan.guest.seconds = item.seconds;
    plan.repeat_command = "repeat --seed " + std::to_string(seed);
    ++running_;
    return plan;
  }
  void forget(const CampaignItem& item) override { forgotten.push_back(item.kernel); }
  Result<TrialResult> run(const TrialPlan& plan, std::uint64_t number, KeptVm& vm,
                          const TrialObserver& observer) override {
    std::filesystem::create_directories(plan.directory);
    std::ofstream(plan.directory / "console.log") << "console\n";
    std::ofstream(plan.directory / "verdict.json") << "{}\n";
    auto result = trial_(plan, number, observer);
    KeptVm used = std::exchange(vm, {});
    if (result) {
      result->before = used.trials;
      const std::lock_guard<std::mutex> lock(mutex_);
      before[number] = used.trials;
      if (plan.keeps_vm && result->verdict.outcome == Outcome::kPassed) {
        vm = std::move(used);
        vm.trials.push_back(plan.name);
        if (vm.machine == nullptr) vm.machine = std::make_unique<NoMachine>();
      }
    }
    pass(plan.guest.seconds);
    --running_;
    return result;
  }
  void pass(double seconds) { clock_ms_ += static_cast<std::int64_t>(seconds * 1000); }

  std::atomic<bool> stop = false;
  std::size_t room = 100;
  std::set<MachineTrait> traits;
  std::map<std::string, Error> unprepared;  // by kernel
  std::vector<std::string> forgotten;
  std::map<std::uint64_t, std::vector<std::string>> before;  // by trial: what its VM had run

 private:
  std::mutex mutex_;
  Trial trial_;
  std::atomic<std::int64_t> clock_ms_ = 0;
  std::atomic<int> running_ = 0;
};

class FakeListener final : public SoakListener {
 public:
  void on_status(const SoakStatus& status) override {
    last = status;
    if (status_hook) status_hook(status);
  }
  void on_trial(const StoredTrial& trial) override { trials.push_back(trial); }
  void on_note(const std::string& text) override {
    notes.push_back(text);
    if (note_hook) note_hook(text);
  }

  SoakStatus last;
  std::vector<StoredTrial> trials;
  std::vector<std::string> notes;
  std::function<void(const SoakStatus&)> status_hook;
  std::function<void(const std::string&)> note_hook;
};

inline TrialResult passed_trial() {
  TrialResult out;
  out.end = TrialEnd::kPoweredOff;
  out.verdict.outcome = Outcome::kPassed;
  out.summary.outcome = Outcome::kPassed;
  out.summary.time_s = 20;
  out.summary.rounds = 7;
  out.summary.counters = {{"migrations", 30}, {"overlaps", 4}};
  out.hello.kernel = "6.1.192";
  return out;
}

inline TrialResult found_trial(const std::string& title) {
  TrialResult out = passed_trial();
  out.verdict.outcome = Outcome::kFound;
  out.verdict.findings.push_back({"hang", title, "oracle", 1.5, 3, {}, "hang: " + title});
  return out;
}

inline TrialResult broken_trial(const std::string& reason) {
  TrialResult out;
  out.end = TrialEnd::kHostFailure;
  out.verdict = {Outcome::kBroken, reason, {}};
  return out;
}

inline CampaignItem fake_item(const std::string& name, const std::string& kernel,
                              double seconds = 20) {
  CampaignItem out;
  out.case_name = name;
  out.workload = "w";
  out.kernel = kernel;
  out.machine = "m";
  out.seconds = seconds;
  return out;
}

// Times that a test does not wait for.
inline SoakSettings quick_settings() {
  SoakSettings out;
  out.poll = 0.0005;
  return out;
}

}  // namespace mmquake
