// SPDX-License-Identifier: GPL-2.0-or-later
//
// One trial inside of the runner's process: requirements, set-up, rounds, watchdog, verdict.
// Notes and findings go to the sink as they come; run() returns the summary.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "guest/runner/record_sink.h"
#include "guest/runner/requirements.h"
#include "guest/runner/role_host.h"
#include "guest/runner/shared_counters.h"
#include "guest/runner/workload.h"

namespace mmquake {

// Delay injection as the runner needs it; the guest's is the kernel module's debugfs interface.
class Widener {
 public:
  virtual ~Widener() = default;
  virtual Result<> configure(const std::vector<WidenSite>& sites, std::uint64_t seed) = 0;
  virtual Result<std::vector<WidenerCount>> read() = 0;
};

// Is a trial's guest time used up? On a host without time for it there is some more until a few
// rounds have begun.
bool is_time_over(double elapsed_s, double budget_s, std::uint64_t rounds);

class Trial {
 public:
  // Everything outlives the trial. `widener` may be null: a plan that widens is then broken.
  Trial(const GuestPlan& plan, const Registry& registry, SharedState& state, RecordSink& sink,
        Widener* widener);
  Trial(const Trial&) = delete;
  Trial& operator=(const Trial&) = delete;
  ~Trial();
  Summary run();
  // After run(): a role still runs. The process must end without destroying the trial.
  bool stuck() const { return stuck_for_good_; }

 private:
  class Env;
  Result<> prepare();
  Result<> rounds();
  Result<> play_round();
  Result<> handle_stuck();
  Result<std::vector<std::uint32_t>> stuck_after_grace();
  Result<std::vector<std::uint32_t>> late_after_grace();
  Result<> judge_and_rescue(std::uint32_t index, const std::string& others);
  Result<> finish_round();
  void stop_round();
  bool ignored_stopping() const;                  // for longer than any body may
  std::vector<std::uint32_t> late_roles() const;  // running and over their limit, longest first
  Deadline next_limit() const;
  std::string role_states() const;
  bool wait_for_all(Deadline deadline);
  void report(FindingRecord finding);
  void pulse(const char* phase);
  bool enough() const;
  bool is_time_over() const;
  double elapsed_s() const;
  std::chrono::nanoseconds scaled(std::chrono::nanoseconds t) const;
  Summary conclude(Result<> result);
  Result<> check_widener(Summary& summary);

  const GuestPlan& plan_;
  const Registry& registry_;
  SharedState& state_;
  RecordSink& sink_;
  Widener* widener_;
  SharedCounters counters_;
  Counter innocent_waits_;
  Counter late_rounds_;
  Counter rescues_;
  Counter slow_waits_;
  MachineFacts facts_;
  HugetlbReservation hugetlb_;
  std::unique_ptr<Env> env_;
  std::unique_ptr<Workload> workload_;
  std::vector<Role> roles_;
  std::unique_ptr<RoleHost> host_;
  std::uint64_t findings_ = 0;
  bool stuck_for_good_ = false;  // a role could not be freed: no more rounds, no clean end
  std::optional<Deadline> stopping_since_;
};

}  // namespace mmquake
