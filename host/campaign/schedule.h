// SPDX-License-Identifier: GPL-2.0-or-later
//
// Which trial of a campaign comes next. Pure: time is a number that the caller gives, so that a
// night is tested in a moment, and a resumed campaign comes to the same state from its store.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "guest/protocol/records.h"
#include "host/plan/campaign_spec.h"

namespace mmquake {

// How long a kernel waits whose trials are broken: `first` after one, twice as long after each
// that follows, `longest` at most. After `park_after` of them it is parked: one try each `parked`.
struct BackOff {
  double first = 5;
  double longest = 300;
  int park_after = 6;
  double parked = 1800;
};

// The seed of a campaign's trial. Below 2^53, so that every reader of JSON keeps it; never 0.
std::uint64_t trial_seed(std::uint64_t campaign_seed, std::uint64_t number);

// Shares host time among kernels, as the weights of their items stand to each other, and within a
// kernel the trials among items. Both by who has had least for his share; the campaign's seed
// decides between equals. An item that was skipped is not drawn again: what it lacks stays away.
class Schedule {
 public:
  // Items are named by their index from now on.
  Schedule(const std::vector<CampaignItem>& items, std::uint64_t seed, const BackOff& back_off);

  // Nothing: every kernel waits, or nothing is left. Draws do not change anything.
  std::optional<std::size_t> draw(double now) const;
  // When draw() may have something again; infinite when nothing is left to run.
  double next_draw(double now) const;

  // A trial of `item` begins: its time is charged at once, for those that are drawn meanwhile.
  void start(std::size_t item);
  // It ended; `seconds` is host time. `now` begins a broken kernel's wait.
  void end(std::size_t item, Outcome outcome, double seconds, double now);
  // It did not come to its end and will be started again.
  void cancel(std::size_t item);

  struct KernelState {
    std::string kernel;
    double seconds = 0;  // host time it had, or is charged with
    int broken_in_row = 0;
    double ready_at = 0;
    bool parked = false;
    std::size_t skipped = 0;  // items
    std::size_t items = 0;
  };
  std::vector<KernelState> kernels() const;  // in the order of the items
  bool is_skipped(std::size_t item) const { return items_[item].skipped; }

 private:
  struct Item {
    std::size_t kernel = 0;
    double seconds = 0;  // what a trial is expected to take
    double weight = 1;
    double drawn = 0;
    std::uint64_t salt = 0;
    bool skipped = false;
  };
  struct Kernel {
    KernelState state;
    double share = 0;
    std::uint64_t salt = 0;
    bool catch_up = false;  // it has waited: it must not take all time until it has caught up
    double used() const { return state.seconds / share; }
  };
  bool can_run(const Kernel& kernel) const { return kernel.state.skipped < kernel.state.items; }
  void forgive(Kernel& kernel);

  BackOff back_off_;
  std::vector<Item> items_;
  std::vector<Kernel> kernels_;
};

}  // namespace mmquake
