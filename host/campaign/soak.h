// SPDX-License-Identifier: GPL-2.0-or-later
//
// A campaign from its first trial to the end of its budget: draws trials, runs several at a time,
// writes every step to the store before it takes the next. Whoever is killed in between is
// continued by another Soak on the same store.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "host/campaign/composer.h"
#include "host/campaign/schedule.h"
#include "host/campaign/trial.h"
#include "host/plan/campaign_spec.h"
#include "host/store/store.h"

namespace mmquake {

// What a soak needs of the world; tests put in their own. All but run() are called on the thread
// of Soak::run().
class SoakWorld {
 public:
  virtual ~SoakWorld() = default;
  virtual double now() = 0;        // seconds of a steady clock
  virtual double today() = 0;      // seconds since 1970
  virtual bool should_stop() = 0;  // any thread
  // Is there memory for a VM of `item` beside those of `running`?
  virtual bool has_room(const std::vector<CampaignItem>& running, const CampaignItem& item) = 0;
  // Kernel, initramfs, machine and command; guest seed, name and directory come from the trial.
  virtual Result<TrialPlan> prepare(const CampaignItem& item, std::uint64_t seed) = 0;
  // What a composition may ask of the item's machine.
  virtual std::set<MachineTrait> traits_of(const CampaignItem& item) = 0;
  // What prepare() remembers of this kernel may be wrong.
  virtual void forget(const CampaignItem& item) = 0;
  // The whole trial and the files about it, in `vm` (see run_trial). On a thread of its own. An
  // error is a broken trial.
  virtual Result<TrialResult> run(const TrialPlan& plan, std::uint64_t number, KeptVm& vm,
                                  const TrialObserver& observer) = 0;
};

struct SoakCounts {
  std::uint64_t trials = 0, passed = 0, found = 0, broken = 0, skipped = 0;
  std::uint64_t rounds = 0, migrations = 0, overlaps = 0;
  std::uint64_t bugs = 0;  // distinct
};

struct SoakStatus {
  SoakCounts counts;  // with what the running trials have reached
  std::vector<std::string>
      running;  // "trial 12 smaps-ignores-migration on clean: running 5 of 20 s"
  std::vector<std::string> waiting;  // "assert is parked after 6 broken trials"
  double used_seconds = 0;
  double left_seconds = -1;       // negative: no limit
  std::uint64_t left_trials = 0;  // 0: no limit
  double per_hour = 0;            // ended trials, in this run
};

// Told on the thread of Soak::run().
class SoakListener {
 public:
  virtual ~SoakListener() = default;
  virtual void on_status(const SoakStatus& status) = 0;  // several times a second
  virtual void on_trial(const StoredTrial& trial) = 0;   // it has ended, and is in the store
  virtual void on_note(const std::string& text) = 0;     // something a person should know
};

struct SoakSettings {
  int jobs = 1;
  BackOff back_off;
  bool composer_learns = true;
  double store_retry = 2;           // seconds until a write that failed is tried again; doubles
  double store_retry_longest = 60;  // up to this
  double poll = 0.2;                // real seconds between two looks at clock and should_stop()
};

enum class SoakEnd {
  kBudget,       // used up, or nothing was left to run
  kInterrupted,  // should_stop(); the store says how far it came
};

// Rounds, moves and coinciding moves that a workload's counters tell of.
std::uint64_t migrations_of(const Counters& counters);
std::uint64_t overlaps_of(const Counters& counters);

// "/runs/T-soak-nightly" -> "/runs/T-soak-nightly/trial-000012", and "...-attempt-2" for the
// second.
std::filesystem::path trial_directory(const std::filesystem::path& campaign, std::uint64_t number,
                                      int attempt);

class Soak {
 public:
  // `campaign` is in `store`, and nobody else runs it.
  Soak(StoredCampaign campaign, std::vector<CampaignItem> items, Store& store, SoakWorld& world,
       SoakListener& listener, SoakSettings settings);
  ~Soak();
  Soak(const Soak&) = delete;
  Soak& operator=(const Soak&) = delete;

  // Errors: the store cannot be read; or it cannot be written, and should_stop() came.
  Result<SoakEnd> run();

 private:
  struct Slot;
  class Slots;

  Result<> load();
  Result<> fill_slots();
  // Draws and plans; false when nothing may start now.
  Result<bool> start_next();
  Result<bool> start_again();
  Result<bool> start_new(std::size_t item, KeptVm vm);
  static bool is_used_up(const Slot& slot);
  // The item with what the trial has of its own.
  CampaignItem item_of(const StoredTrial& trial, std::size_t item) const;
  Result<> compose(StoredTrial& trial, const CampaignItem& item);
  // Tells schedule and composer of an ended trial.
  void take_in(const StoredTrial& trial, std::size_t item, double now);
  // In `vm` if it has a machine.
  Result<bool> start_trial(StoredTrial trial, std::size_t item, KeptVm vm);
  Result<> begin(StoredTrial& trial);
  Result<> finish(StoredTrial& trial);
  bool has_room(const CampaignItem& item);
  Result<bool> settle(Slot slot);
  Result<> settle_ended();
  Result<> insist(const std::string& what, const std::function<Result<>()>& write);
  void note_kernel(std::size_t item, const StoredTrial& trial);
  void show_status();
  void wait(double seconds);
  double used() const;
  bool has_budget(const CampaignItem& item) const;
  bool is_over();

  StoredCampaign campaign_;
  std::vector<CampaignItem> items_;
  Store& store_;
  SoakWorld& world_;
  SoakListener& listener_;
  SoakSettings settings_;
  Schedule schedule_;
  Composer composer_;
  std::unique_ptr<Slots> slots_;
  std::vector<StoredTrial> again_;  // planned or killed: these come first
  SoakCounts counts_;
  std::set<std::string> bugs_;  // signatures
  std::set<std::string> log_shapes_;
  std::uint64_t next_number_ = 1;
  std::uint64_t ended_here_ = 0;
  double began_ = 0;  // world's now at the start of this run
};

// The directory of a passed trial shrinks to verdict.json. What cannot be removed stays.
void prune_passed(const std::filesystem::path& directory);

}  // namespace mmquake
