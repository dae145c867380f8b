// SPDX-License-Identifier: GPL-2.0-or-later
//
// configs/campaigns/NAME.toml: what a soak draws its trials from.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "guest/protocol/composition.h"
#include "guest/protocol/records.h"
#include "guest/protocol/result.h"
#include "host/plan/plan.h"
#include "host/plan/workloads.h"

namespace mmquake {

// What draws can be limited in, and the word for it in a campaign and on the command line.
inline constexpr std::array<std::pair<Slot, std::string_view>, 4> kWordChoices{{
    {Slot::kBacking, "backings"},
    {Slot::kMover, "movers"},
    {Slot::kDisturber, "disturbers"},
    {Slot::kWatcher, "watchers"},
}};

// One kind of trial: everything but its number and seed.
struct CampaignItem {
  std::string kernel;
  std::string machine;
  std::string case_name;  // empty: a workload of its own
  std::string workload;
  std::map<std::string, std::string> params;
  std::vector<WidenSite> widen;
  std::vector<std::string> bugs;         // switches of the kernel that are on
  std::vector<WidenSite> widen_choices;  // composed: a trial has some of them, or none
  bool composed = false;  // each trial draws its own composition; params are the common ones
  double seconds = 30;    // guest time
  double weight = 1;      // among the items of its kernel
  WordChoice only;        // composed: what may be drawn
  std::string label;      // composed: what people call it; empty: it is told by its words
  std::uint64_t trials_per_boot = 1;  // composed: so many in one VM, as long as they pass
};

// "smaps-ignores-migration on clean", "migrate-verify backing=shmem-thp on clean, numa2": unique
// in a campaign, and the same as long as its files say the same. Stored with each trial.
std::string item_label(const CampaignItem& item);

struct CampaignSpec {
  std::string name;
  std::string summary;
  std::string text;                 // of the file: a campaign goes on with what it began with
  double budget_seconds = 0;        // host time; 0: none
  std::uint64_t budget_trials = 0;  // 0: none; one of the two is set
  std::vector<CampaignItem> items;  // kernels x machines x workloads; not empty
  bool composer_learns = true;
};

// Every name in it exists, every parameter is in range, no item is there twice.
Result<CampaignSpec> read_campaign_spec(const std::filesystem::path& file,
                                        const Catalogue& catalogue,
                                        const WorkloadCatalogue& workloads);

}  // namespace mmquake
