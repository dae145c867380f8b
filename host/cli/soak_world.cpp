// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/cli/soak_world.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <limits>

#include "host/cli/case_sides.h"
#include "host/cli/commands.h"
#include "host/cli/interrupt.h"
#include "host/plan/widen_text.h"

namespace mmquake {
namespace {

std::string repeat_command(const CommonOptions& common, const CampaignItem& item,
                           std::uint64_t seed) {
  if (!item.case_name.empty()) {
    CaseSpec spec;
    spec.name = item.case_name;
    return side_repeat_command(common, spec, {item.kernel, item.kernel, {}, item.seconds, false},
                               seed);
  }
  RunOptions options;
  options.workload = item.workload;
  options.kernel = item.kernel;
  options.machine = item.machine;
  options.seconds = item.seconds;
  options.bugs = item.bugs;
  for (const WidenSite& site : item.widen) options.widen.push_back(widen_text(site));
  for (const auto& [key, value] : item.params)
    options.params.push_back(fmt::format("{}={}", key, value));
  return run_repeat_command(common, options, seed);
}

}  // namespace

double SessionWorld::now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double SessionWorld::today() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

bool SessionWorld::should_stop() {
  return interrupted();
}

std::uint64_t SessionWorld::memory_of(const std::string& machine) const {
  const auto spec = session_.catalogue().machine(machine);
  // One that cannot be read breaks the trial, which says why.
  return spec ? spec->memory_mib() + kVmOverheadMib : 0;
}

bool SessionWorld::has_room(const std::vector<CampaignItem>& running, const CampaignItem& item) {
  std::uint64_t needed = kHostReserveMib + memory_of(item.machine);
  for (const CampaignItem& other : running) needed += memory_of(other.machine);
  return available_mib_ == 0 || needed <= available_mib_;
}

std::set<MachineTrait> SessionWorld::traits_of(const CampaignItem& item) {
  const auto spec = session_.catalogue().machine(item.machine);
  return spec ? machine_traits(*spec) : std::set<MachineTrait>();
}

Result<TrialPlan> SessionWorld::prepare(const CampaignItem& item, std::uint64_t seed) {
  const auto key = std::tuple(item.kernel, item.machine, item.bugs);
  auto known = plans_.find(key);
  if (known == plans_.end()) {
    auto plan = session_.prepare(item.kernel, item.machine, item.bugs);
    if (!plan) return plan;
    known = plans_.emplace(key, std::move(*plan)).first;
  }
  TrialPlan plan = known->second;
  plan.guest.workload = item.workload;
  plan.guest.params = item.params;
  plan.guest.seconds = item.seconds;
  plan.guest.widen = item.widen;
  plan.repeat_command = repeat_command(session_.options(), item, seed);
  return plan;
}

void SessionWorld::forget(const CampaignItem& item) {
  std::erase_if(plans_, [&](const auto& entry) { return std::get<0>(entry.first) == item.kernel; });
}

Result<TrialResult> SessionWorld::run(const TrialPlan& plan, std::uint64_t number, KeptVm& vm,
                                      const TrialObserver& observer) {
  ReportedTrial trial;
  trial.plan = plan;
  trial.side = plan.kernel.name;
  trial.number = static_cast<int>(number);
  trial.of = 0;
  auto ran = session_.run_quietly(std::move(trial), vm, observer);
  if (!ran) return tl::make_unexpected(ran.error());
  return std::move(ran->result);
}

int default_jobs(unsigned cores, std::uint64_t available_mib,
                 const std::vector<MachineSpec>& machines) {
  std::uint64_t cpus = 1;
  std::uint64_t memory = 1;
  for (const MachineSpec& machine : machines) {
    cpus = std::max(cpus, static_cast<std::uint64_t>(machine.cpus()));
    memory = std::max(memory, machine.memory_mib() + kVmOverheadMib);
  }
  std::uint64_t jobs = std::max<std::uint64_t>(1, cores / cpus);
  if (available_mib > 0) {
    const std::uint64_t free =
        available_mib > kHostReserveMib ? available_mib - kHostReserveMib : 0;
    jobs = std::min(jobs, std::max<std::uint64_t>(1, free / memory));
  }
  return static_cast<int>(jobs);
}

}  // namespace mmquake
