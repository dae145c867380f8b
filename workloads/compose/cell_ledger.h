// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a cell may hold when, beside its owner, others empty the memory it lies in.
//
// Who empties a block says so in the block's EmptyState, before and after. A writer notes the state
// before and after its write, a reader before and after its look. From these four follows what is
// allowed: exactly the last generation; exactly zero, when an emptying lies wholly between the
// write and the look (an old page that comes back is then seen, even if it is a page of the same
// owner); or, where they overlapped, either of both, word by word.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>

#include "guest/memory/pattern.h"

namespace mmquake {

// One word, so that it is read at once: how often a block was emptied, how often it was given up to
// be emptied later (MADV_FREE), and whether somebody is at it now.
class EmptyState {
 public:
  EmptyState() = default;
  explicit EmptyState(std::uint64_t raw) : raw_(raw) {}
  std::uint64_t raw() const { return raw_; }
  bool at_work() const { return (raw_ & 1) != 0; }
  std::uint32_t emptied() const { return static_cast<std::uint32_t>(raw_ >> 32); }
  std::uint32_t given_up() const { return static_cast<std::uint32_t>(raw_ >> 1) & 0x7fffffff; }
  bool operator==(const EmptyState&) const = default;

 private:
  std::uint64_t raw_ = 0;
};

// Shared between processes.
class EmptyMark {
 public:
  EmptyState state() const { return EmptyState(raw_.load()); }
  // False: somebody else is at it, and the caller must not.
  bool begin();
  // Whole: every page of the block went. Else they go later, or not.
  enum class How { kNothing, kEmptied, kGivenUp };
  void end(How how);

 private:
  std::atomic<std::uint64_t> raw_{0};
};

// A cell's book. `seen_before` and `seen_after` are the block's states around the last write.
struct CellBook {
  Published generation;
  std::atomic<std::uint64_t> seen_before{0};
  std::atomic<std::uint64_t> seen_after{0};
};

// The owner writes generation `next` (more than the last one) into its cell.
void write_cell(std::byte* at, const CellPlace& place, CellBook& book, const EmptyMark& mark,
                std::uint64_t next);

// The same by other means than stores, around them. A write of which nothing was done is withdrawn;
// one of which a part was done stays under way until the next one ends.
struct WriteBegun {
  std::uint64_t last = 0;  // generation before
  EmptyState seen_before;
};
WriteBegun begin_write(CellBook& book, const EmptyMark& mark, std::uint64_t next);
void end_write(CellBook& book, const EmptyMark& mark, std::uint64_t next);
void withdraw_write(CellBook& book, const WriteBegun& begun);

// All that a look at a cell has to go by.
struct CellLook {
  CellImage image{};
  std::uint64_t oldest = 0, newest = 0;  // published before, intended after
  EmptyState write_before, write_after;  // around the last write
  EmptyState look_before, look_after;
  bool copied = false;     // not loaded word by word
  bool by_device = false;  // the CPU's own view may be right
};

CellLook look_at_cell(const std::byte* at, const CellBook& book, const EmptyMark& mark);
// The same in two halves, when the image comes from elsewhere (a device, another process). Who
// copies may cut a word in two, so such a look says something only if nobody wrote or emptied
// meanwhile.
CellLook begin_look(const CellBook& book, const EmptyMark& mark);
void end_look(CellLook& look, const CellImage& image, const CellBook& book, const EmptyMark& mark);

// nullopt: what is there may be there.
std::optional<Damage> judge_look(const CellLook& look, const CellPlace& place);
// May nothing but the last generation be there?
bool is_exact(const CellLook& look);

}  // namespace mmquake
