// SPDX-License-Identifier: GPL-2.0-or-later
//
// The real world of a soak: this host's clock, memory, kernels and VMs.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "host/campaign/soak.h"
#include "host/cli/session.h"

namespace mmquake {

class SessionWorld final : public SoakWorld {
 public:
  // `available_mib` is what the host could give to VMs before the first one started.
  SessionWorld(Session& session, std::uint64_t available_mib)
      : session_(session), available_mib_(available_mib) {}

  double now() override;
  double today() override;
  bool should_stop() override;
  bool has_room(const std::vector<CampaignItem>& running, const CampaignItem& item) override;
  std::set<MachineTrait> traits_of(const CampaignItem& item) override;
  Result<TrialPlan> prepare(const CampaignItem& item, std::uint64_t seed) override;
  void forget(const CampaignItem& item) override;
  Result<TrialResult> run(const TrialPlan& plan, std::uint64_t number, KeptVm& vm,
                          const TrialObserver& observer) override;

 private:
  std::uint64_t memory_of(const std::string& machine) const;

  Session& session_;
  std::uint64_t available_mib_;
  // By kernel, machine and switches.
  std::map<std::tuple<std::string, std::string, std::vector<std::string>>, TrialPlan> plans_;
};

// How many VMs of these this host runs well at a time, at least 1: as many as its cores take with
// a core for each vCPU, and its memory holds.
int default_jobs(unsigned cores, std::uint64_t available_mib,
                 const std::vector<MachineSpec>& machines);

// What a VM takes beside its guest's memory: QEMU itself and, under TCG, translated code.
inline constexpr std::uint64_t kVmOverheadMib = 256;

}  // namespace mmquake
