// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/campaign/schedule.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>

namespace mmquake {
namespace {

// splitmix64's finaliser (Steele, Lea and Flood, OOPSLA 2014).
std::uint64_t mix(std::uint64_t value) {
  value += 0x9e3779b97f4a7c15;
  value = (value ^ (value >> 30U)) * 0xbf58476d1ce4e5b9;
  value = (value ^ (value >> 27U)) * 0x94d049bb133111eb;
  return value ^ (value >> 31U);
}

// Boot, power-off and report, before any trial has told.
constexpr double kOverhead = 8;

}  // namespace

std::uint64_t trial_seed(std::uint64_t campaign_seed, std::uint64_t number) {
  const std::uint64_t seed = mix(mix(campaign_seed) + number) >> 11U;
  return seed == 0 ? 1 : seed;
}

Schedule::Schedule(const std::vector<CampaignItem>& items, std::uint64_t seed,
                   const BackOff& back_off)
    : back_off_(back_off) {
  std::map<std::string, std::size_t> known;
  for (std::size_t i = 0; i < items.size(); ++i) {
    const auto [at, is_new] = known.emplace(items[i].kernel, kernels_.size());
    if (is_new) {
      Kernel kernel;
      kernel.state.kernel = items[i].kernel;
      kernel.salt = mix(seed ^ mix(kernels_.size()));
      kernels_.push_back(kernel);
    }
    Kernel& kernel = kernels_[at->second];
    kernel.share += items[i].weight;
    ++kernel.state.items;
    items_.push_back({at->second, items[i].seconds + kOverhead, items[i].weight, 0,
                      mix(seed + mix(i + 1)), false});
  }
}

std::optional<std::size_t> Schedule::draw(double now) const {
  const Kernel* best = nullptr;
  for (const Kernel& kernel : kernels_) {
    if (!can_run(kernel) || kernel.state.ready_at > now) continue;
    if (best == nullptr ||
        std::tuple(kernel.used(), kernel.salt) < std::tuple(best->used(), best->salt)) {
      best = &kernel;
    }
  }
  if (best == nullptr) return std::nullopt;
  std::optional<std::size_t> out;
  const auto rank = [&](std::size_t i) {
    const Item& item = items_[i];
    // Another order in each turn, so that no item always follows the same one.
    const auto turn = static_cast<std::uint64_t>(item.drawn);
    return std::tuple(item.drawn / item.weight, mix(item.salt + turn));
  };
  for (std::size_t i = 0; i < items_.size(); ++i) {
    if (items_[i].skipped || &kernels_[items_[i].kernel] != best) continue;
    if (!out || rank(i) < rank(*out)) out = i;
  }
  return out;
}

double Schedule::next_draw(double now) const {
  double next = std::numeric_limits<double>::infinity();
  for (const Kernel& kernel : kernels_) {
    if (can_run(kernel)) next = std::min(next, std::max(now, kernel.state.ready_at));
  }
  return next;
}

void Schedule::start(std::size_t item) {
  items_[item].drawn += 1;
  kernels_[items_[item].kernel].state.seconds += items_[item].seconds;
}

void Schedule::cancel(std::size_t item) {
  items_[item].drawn -= 1;
  kernels_[items_[item].kernel].state.seconds -= items_[item].seconds;
}

// As if it had had as much as the one that had least of those that did not wait.
void Schedule::forgive(Kernel& kernel) {
  double least = std::numeric_limits<double>::infinity();
  for (const Kernel& other : kernels_) {
    if (&other == &kernel || !can_run(other) || other.state.broken_in_row > 0) continue;
    least = std::min(least, other.used());
  }
  if (std::isfinite(least)) {
    kernel.state.seconds = std::max(kernel.state.seconds, least * kernel.share);
  }
  kernel.catch_up = false;
}

void Schedule::end(std::size_t item, Outcome outcome, double seconds, double now) {
  Item& what = items_[item];
  Kernel& kernel = kernels_[what.kernel];
  KernelState& state = kernel.state;
  state.seconds += seconds - what.seconds;
  if (outcome == Outcome::kBroken) {
    ++state.broken_in_row;
    state.parked = state.broken_in_row >= back_off_.park_after;
    const double doubled = back_off_.first * std::exp2(std::min(state.broken_in_row - 1, 30));
    state.ready_at = now + (state.parked ? back_off_.parked : std::min(doubled, back_off_.longest));
    kernel.catch_up = true;
    return;
  }
  state.broken_in_row = 0;
  state.parked = false;
  state.ready_at = 0;
  if (kernel.catch_up) forgive(kernel);
  if (outcome == Outcome::kSkipped && !what.skipped) {
    what.skipped = true;
    ++state.skipped;
  }
}

std::vector<Schedule::KernelState> Schedule::kernels() const {
  std::vector<KernelState> out;
  for (const Kernel& kernel : kernels_) out.push_back(kernel.state);
  return out;
}

}  // namespace mmquake
