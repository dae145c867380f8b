// SPDX-License-Identifier: GPL-2.0-or-later
//
// The space of the workload `compose`: what there is, and what goes with what. Data, for the host
// that draws from it and for the guest that runs a draw.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mmquake {

inline constexpr std::string_view kComposeWorkload = "compose";
inline constexpr std::string_view kNoWord = "none";

// The places that a composition fills, one word each; all but the backing may be kNoWord.
enum class Slot : std::uint8_t { kBacking, kMover, kDisturber, kDisturber2, kWatcher };
inline constexpr std::array<Slot, 5> kAllSlots{Slot::kBacking, Slot::kMover, Slot::kDisturber,
                                               Slot::kDisturber2, Slot::kWatcher};
// "backing", "mover", "disturber", "disturber2", "watcher": the workload's parameters.
std::string_view to_string(Slot slot);

// What a backing is.
using Traits = std::uint32_t;
inline constexpr Traits kAnon = 1 << 0;    // private to its process
inline constexpr Traits kShared = 1 << 1;  // a file's: every process of the workload has it
inline constexpr Traits kSmall = 1 << 2;   // small pages alone
inline constexpr Traits kThp = 1 << 3;
inline constexpr Traits kHugetlb = 1 << 4;
inline constexpr Traits kKsm = 1 << 5;
inline constexpr Traits kSwap = 1 << 6;
inline constexpr Traits kGigantic = 1 << 7;  // one page of 1 GiB, and no second one
inline constexpr Traits kAnyBacking = kAnon | kShared;

// What an ingredient does to content and addresses, as far as an oracle must know.
using Effects = std::uint32_t;
inline constexpr Effects kEmptiesAnon = 1 << 0;    // anonymous pages go, with what was in them
inline constexpr Effects kEmptiesShared = 1 << 1;  // the file's pages go
inline constexpr Effects kMayEmpty = 1 << 2;  // they may go, later, until they are written again
inline constexpr Effects kForks = 1 << 3;
inline constexpr Effects kRemaps = 1 << 4;      // the area is not mapped for moments
inline constexpr Effects kUnmapsPtes = 1 << 5;  // pages stay, but the page table forgets them
inline constexpr Effects kReclaims = 1 << 6;
inline constexpr Effects kTakesFrames = 1 << 7;  // page frames or blocks of memory are taken away

// What a machine must have.
enum class MachineTrait : std::uint8_t {
  kNothing,
  kMovable,
  kCma,
  kMemoryOnlyNode,
  kSlowMemory,
  kGiganticPages
};
std::string_view to_string(MachineTrait trait);

struct Ingredient {
  std::string_view name{};
  std::string_view summary{};
  Traits is = 0;       // backings
  Traits needs = 0;    // of the backing, one of these
  Traits refuses = 0;  // of the backing, none of these
  Effects does = 0;
  Effects endures = ~Effects{0};  // watchers: what the others of the composition may do
  MachineTrait machine = MachineTrait::kNothing;
  std::string_view because{};  // why `refuses` and `endures` are as they are
};

// What may stand in a slot, kNoWord not among it.
std::span<const Ingredient> ingredients(Slot slot);
// The words that may be drawn for a slot, none if the list is empty; a slot that is not there may
// have any. kDisturber stands for both disturbers.
using WordChoice = std::map<Slot, std::vector<std::string>>;
// nullptr: kNoWord, or unknown.
const Ingredient* find_ingredient(Slot slot, std::string_view name);

class Composition {
 public:
  Composition() { words_.fill(std::string(kNoWord)); }
  // Of the workload's parameters; what is missing is kNoWord. Other parameters are not looked at.
  static Composition from_params(const std::map<std::string, std::string>& params);

  const std::string& operator[](Slot slot) const { return words_[static_cast<std::size_t>(slot)]; }
  void set(Slot slot, std::string_view word) { words_[static_cast<std::size_t>(slot)] = word; }
  bool has(Slot slot) const { return (*this)[slot] != kNoWord; }
  // Is `disturber` one of the two?
  bool disturbed_by(std::string_view disturber) const;
  Traits traits() const;    // of the backing
  Effects effects() const;  // of all
  std::vector<MachineTrait> machine() const;

  std::map<std::string, std::string> params() const;  // without those that are kNoWord
  std::string text() const;  // "anon-thp move_pages fork-cow uffd-wp", kNoWord left out
  bool operator==(const Composition&) const = default;

 private:
  std::array<std::string, kAllSlots.size()> words_;
};

// Why the composition says nothing, or would accuse an innocent kernel. nullopt: it may run.
std::optional<std::string> objection(const Composition& composition);
// The same of one that is not complete: what it has does not go together, whatever is added.
std::optional<std::string> clash(const Composition& composition);

// Has any allowed composition both words? A word of kDisturber may be either of the two.
bool go_together(Slot slot, std::string_view word, Slot other_slot, std::string_view other);

// The compositions that have one ingredient less, those that are allowed alone; the backing stays.
std::vector<Composition> smaller(const Composition& composition);

// All that are allowed, in a fixed order, whatever the machine.
std::vector<Composition> all_compositions();

}  // namespace mmquake
