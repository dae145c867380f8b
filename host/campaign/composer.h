// SPDX-License-Identifier: GPL-2.0-or-later
//
// Draws compositions for the workload `compose`, and learns which ingredients are worth drawing.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "guest/protocol/composition.h"
#include "guest/protocol/result.h"
#include "host/plan/plan.h"

namespace mmquake {

// What of a composition's needs this machine has.
std::set<MachineTrait> machine_traits(const MachineSpec& machine);

// How a trial of a composition ended, as far as the composer learns from it.
struct ComposedTrial {
  Composition composition;
  double seconds = 0;          // guest time
  std::uint64_t overlaps = 0;  // how often two of its parts were at work at once
  std::vector<std::string> titles;
  bool new_log_shape = false;  // its kernel printed something new to the campaign
};

// Backing first, then mover, disturber and watcher in any order, then the second disturber; each
// slot is left empty with a fixed chance, else drawn among the words that go with what is there
// already and that the machine can serve: without learning evenly.
//
// With learning a word's weight is 1/4 + its mean reward + sqrt(ln N / n) / 2, N and n the trials
// that have ended and those of them that had the word: the upper confidence bound of UCB1 (Auer,
// Cesa-Bianchi and Fischer, Machine Learning 47, 2002), used as a weight and not as a maximum, so
// that no word ever dies out. A trial's reward is 1 if it found a title that the campaign had not
// seen, else 3/4 if its kernel printed a line of a shape that is new, else its overlaps per second
// against the best of its backing so far, times 1/2. Rewards fade by kFade a trial: what raised
// them lately counts more.
//
// Pure: the same seed after the same trials gives the same draw, so a resumed campaign goes on as
// it would have.
class Composer {
 public:
  static constexpr double kFade = 0.98;

  explicit Composer(bool learns = true) : learns_(learns) {}

  // An error: nothing that `only` allows fits the machine.
  Result<Composition> draw(std::uint64_t seed, const std::set<MachineTrait>& machine,
                           const std::string& kernel = "", const WordChoice& only = {}) const;
  // A trial on `kernel` was skipped for this reason. If it names a part of the composition that
  // could not be set up there, that part is not drawn for this kernel again.
  void learn_lack(const std::string& kernel, const Composition& composition,
                  std::string_view reason);
  void learn(const ComposedTrial& trial);
  // Of a word in a slot, as draw() takes it.
  double weight(Slot slot, const std::string& word) const;

 private:
  struct Record {
    double trials = 0;
    double reward = 0;  // sum
  };
  // What machine and kernel can do.
  struct Supply {
    const std::set<MachineTrait>& machine;
    const WordChoice& only;
    std::set<std::string> lacks;  // words
    bool has(Slot slot, const std::string& word) const;
  };
  void fill(Composition& composition, Slot slot, const Supply& supply, double at) const;

  bool learns_;
  double trials_ = 0;
  std::map<std::pair<Slot, std::string>, Record> records_;
  std::map<std::string, double> best_rate_;  // by backing
  std::set<std::string> titles_;
  std::map<std::string, std::set<std::string>> lacks_;  // words, by kernel
};

}  // namespace mmquake
