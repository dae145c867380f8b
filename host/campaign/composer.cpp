// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/campaign/composer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <random>
#include <utility>

namespace mmquake {
namespace {

// How often a slot stays empty: with everything in it a composition is slow, and hard to
// understand.
double none_share(Slot slot) {
  switch (slot) {
    case Slot::kBacking:
      return 0;
    case Slot::kMover:
      return 0.1;
    case Slot::kDisturber:
      return 0.15;
    case Slot::kDisturber2:
      return 0.5;
    case Slot::kWatcher:
      return 0.35;
  }
  return 0;
}

constexpr int kTries = 10000;

// QEMU's q35 puts so much below 4 GiB if there is more than that (docs/compose.md), and the rest
// above.
constexpr std::uint64_t kLowMib = 2048;
constexpr std::uint64_t kMostLowMib = 2816;
constexpr std::uint64_t kGibMib = 1024;
// At both ends of a node's part above 4 GiB the kernel has things of its own.
constexpr std::uint64_t kEndsMib = 128;
constexpr double kFloor = 0.25;
constexpr double kNewShapeReward = 0.75;
// Boot memory that the kernel is to leave to dax/kmem: E820_TYPE_SOFT_RESERVED.
constexpr std::string_view kSoftReserved = "+0xefffffff";

// std::uniform_real_distribution may differ between libraries, and a seed has to mean the same.
double unit(std::mt19937_64& random) {
  return std::ldexp(static_cast<double>(random() >> 11U), -53);
}

bool serves(const std::set<MachineTrait>& machine, const Composition& composition) {
  const std::vector<MachineTrait> needs = composition.machine();
  return std::all_of(needs.begin(), needs.end(),
                     [&](MachineTrait need) { return machine.contains(need); });
}

// Does each node have an aligned GiB that the kernel leaves free?
bool has_gigantic_pages(const MachineSpec& machine) {
  std::uint64_t total = 0;
  for (const NodeSpec& node : machine.nodes) total += node.memory_mib;
  if (total < kMostLowMib) return false;
  std::uint64_t begin = 0;
  for (const NodeSpec& node : machine.nodes) {
    const std::uint64_t end = begin + node.memory_mib;
    const std::uint64_t high = std::max(begin, kLowMib) + kLowMib;
    const std::uint64_t first = (high + kEndsMib + kGibMib - 1) / kGibMib * kGibMib;
    if (first + kGibMib + kEndsMib > end + kLowMib) return false;
    begin = end;
  }
  return !machine.nodes.empty();
}

// The two disturbers in the one order that is allowed.
void order(Composition& composition) {
  const std::string first = composition[Slot::kDisturber];
  const std::string second = composition[Slot::kDisturber2];
  const Ingredient* a = find_ingredient(Slot::kDisturber, first);
  const Ingredient* b = find_ingredient(Slot::kDisturber, second);
  if (b != nullptr && (a == nullptr || a > b)) {
    composition.set(Slot::kDisturber, second);
    composition.set(Slot::kDisturber2, first);
  }
}

}  // namespace

std::set<MachineTrait> machine_traits(const MachineSpec& machine) {
  std::set<MachineTrait> out;
  for (const std::string& arg : machine.boot_args) {
    if (arg.starts_with("movablecore=") || arg == "movable_node")
      out.insert(MachineTrait::kMovable);
    if (arg.starts_with("cma=")) out.insert(MachineTrait::kCma);
    if (arg.starts_with("memmap=") && arg.ends_with(kSoftReserved)) {
      out.insert(MachineTrait::kSlowMemory);
    }
  }
  for (const NodeSpec& node : machine.nodes) {
    if (node.cpus == 0) out.insert(MachineTrait::kMemoryOnlyNode);
  }
  if (has_gigantic_pages(machine)) out.insert(MachineTrait::kGiganticPages);
  return out;
}

double Composer::weight(Slot slot, const std::string& word) const {
  if (!learns_ || trials_ == 0) return 1;
  const auto found = records_.find({slot, word});
  const double trials = found == records_.end() ? 0 : found->second.trials;
  const double mean = trials > 0 ? found->second.reward / trials : 0;
  // As if each word had been tried once at the beginning.
  const double bound = std::sqrt(std::log(trials_ + 1) / (trials + 1)) / 2;
  return kFloor + mean + bound;
}

bool Composer::Supply::has(Slot slot, const std::string& word) const {
  const auto choice = only.find(slot == Slot::kDisturber2 ? Slot::kDisturber : slot);
  const bool wanted =
      choice == only.end() ||
      std::find(choice->second.begin(), choice->second.end(), word) != choice->second.end();
  return wanted && !lacks.contains(word);
}

// One word for the slot, of those that go with what is there; nothing if none does.
void Composer::fill(Composition& composition, Slot slot, const Supply& supply, double at) const {
  std::vector<std::pair<double, Composition>> choices;
  double sum = 0;
  for (const Ingredient& one : ingredients(slot)) {
    Composition with = composition;
    with.set(slot == Slot::kDisturber2 && !with.has(Slot::kDisturber) ? Slot::kDisturber : slot,
             one.name);
    order(with);
    if (!supply.has(slot, std::string(one.name)) || !serves(supply.machine, with) || clash(with)) {
      continue;
    }
    sum += weight(slot, std::string(one.name));
    choices.emplace_back(sum, std::move(with));
  }
  for (auto& [upto, with] : choices) {
    if (at * sum < upto) {
      composition = std::move(with);
      return;
    }
  }
}

Result<Composition> Composer::draw(std::uint64_t seed, const std::set<MachineTrait>& machine,
                                   const std::string& kernel, const WordChoice& only) const {
  std::mt19937_64 random(seed);
  const auto lacks = lacks_.find(kernel);
  const Supply supply{machine, only,
                      lacks == lacks_.end() ? std::set<std::string>() : lacks->second};
  for (int i = 0; i < kTries; ++i) {
    Composition out;
    fill(out, Slot::kBacking, supply, unit(random));
    // In any order: who comes first may rule out what comes later. But one disturber before the
    // other.
    std::array<Slot, 3> rest{Slot::kMover, Slot::kDisturber, Slot::kWatcher};
    for (std::size_t left = rest.size(); left > 1; --left) {
      const auto pick = static_cast<std::size_t>(unit(random) * static_cast<double>(left));
      std::swap(rest[left - 1], rest[pick]);
    }
    for (const Slot slot : {rest[0], rest[1], rest[2], Slot::kDisturber2}) {
      const bool open = unit(random) < none_share(slot);
      const double at = unit(random);
      if (!open) fill(out, slot, supply, at);
    }
    if (!objection(out)) return out;
  }
  return broken(only.empty() ? "no composition fits this machine"
                             : "no composition of the chosen words fits this machine");
}

void Composer::learn_lack(const std::string& kernel, const Composition& composition,
                          std::string_view reason) {
  // As the guest says it: "set up workload 'compose': WORD: why".
  const std::string begin = fmt::format("set up workload '{}': ", kComposeWorkload);
  if (!reason.starts_with(begin)) return;
  reason.remove_prefix(begin.size());
  const std::string word(reason.substr(0, reason.find(": ")));
  for (const Slot slot : kAllSlots) {
    if (composition.has(slot) && composition[slot] == word) lacks_[kernel].insert(word);
  }
}

void Composer::learn(const ComposedTrial& trial) {
  const Composition& composition = trial.composition;
  if ((trial.seconds <= 0 && trial.titles.empty()) || objection(composition)) return;
  double reward = trial.new_log_shape ? kNewShapeReward : 0;
  for (const std::string& title : trial.titles) {
    if (titles_.insert(title).second) reward = 1;
  }
  const double rate = trial.seconds > 0 ? static_cast<double>(trial.overlaps) / trial.seconds : 0;
  double& best = best_rate_[composition[Slot::kBacking]];
  best = std::max(best, rate);
  if (best > 0) reward = std::max(reward, rate / best / 2);
  trials_ = trials_ * kFade + 1;
  for (auto& [word, record] : records_) {
    record.trials *= kFade;
    record.reward *= kFade;
  }
  for (const Slot slot : kAllSlots) {
    if (!composition.has(slot)) continue;
    Record& record = records_[{slot, composition[slot]}];
    record.trials += 1;
    record.reward += reward;
  }
}

}  // namespace mmquake
