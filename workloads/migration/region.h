// SPDX-License-Identifier: GPL-2.0-or-later
//
// A region of migrate-verify: units that the kernel moves as one piece, with stamped cells in them.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "guest/memory/mapping.h"
#include "guest/memory/pattern.h"
#include "guest/runner/workload.h"
#include "workloads/migration/shared_book.h"

namespace mmquake {

// Process number of a region that all processes see. Anonymous memory is copied on write after a
// fork, so a region of it belongs to the one child that touches it.
inline constexpr int kAllProcesses = 0;

// What is known of one unit.
struct UnitBook {
  // Where the unit was when somebody last looked; -1: not known. A migration is counted by whoever
  // turns this value from the old node into the new one, so by one mover only.
  std::atomic<int> node{-1};
  std::atomic<std::uint32_t> huge{0};      // it was one huge page at the last check
  std::atomic<std::uint32_t> rebuilds{0};  // how often it had to be made huge again
  std::atomic<std::uint32_t> last_mover{0};
  std::atomic<std::uint64_t> last_round{0};
};

// One writer: only `owner` changes its cells.
struct Owner {
  std::uint32_t id = 0;
  int process = 0;
};

// A cell's coordinates within its region.
struct CellAt {
  std::size_t unit = 0;
  std::size_t spot = 0;
  std::size_t slot = 0;  // index of the owner
};

// Every unit has `spots` places that are checked: both ends of a small page, some subpages of a
// huge one. At each spot every owner has one cell.
class Region {
 public:
  // Maps, and touches nothing. The owners are those who see the region.
  static Result<Region> create(std::uint32_t id, Backing backing, std::size_t units, int process,
                               const std::vector<Owner>& owners, SharedMemory& memory);

  std::uint32_t id() const { return id_; }
  Backing backing() const { return mapping_.backing(); }
  bool is_huge() const { return unit_bytes(backing()) == kHugePage; }
  int process() const { return process_; }
  bool seen_by(int process) const { return process_ == kAllProcesses || process_ == process; }
  std::string name() const;  // "anon-thp of process 1"

  std::size_t units() const { return units_.size(); }
  std::size_t spots() const;
  const std::vector<Owner>& owners() const { return owners_; }
  // The owner's slot; owners().size() if it has no cell here.
  std::size_t slot_of(std::uint32_t owner) const;

  Mapping& mapping() { return mapping_; }
  std::uintptr_t address(std::size_t unit) const {
    return mapping_.address() + unit * unit_bytes(backing());
  }
  UnitBook& unit(std::size_t index) const { return units_[index]; }
  std::byte* at(const CellAt& cell) const { return mapping_.data() + offset(cell); }
  CellPlace place(const CellAt& cell) const;
  Published& book(const CellAt& cell) const;

  // The page of the unit that holds a spot.
  std::uintptr_t page_of(std::size_t unit, std::size_t spot) const;

  // The caller's next generation in each of its cells of a unit that has none yet.
  void populate(std::size_t unit, std::size_t slot);
  // Whether some owner has written at that spot.
  bool is_populated(std::size_t unit, std::size_t spot) const;
  // Gives a unit back to the kernel, with its page table, and forgets what was in it. Nobody else
  // may use the region.
  Result<> discard_unit(std::size_t unit);

 private:
  std::size_t offset(const CellAt& cell) const;
  Result<> map_anew(std::size_t unit);

  std::uint32_t id_ = 0;
  int process_ = 0;
  std::vector<Owner> owners_;
  Mapping mapping_;
  std::span<UnitBook> units_;
  std::span<Published> cells_;
};

// What a reader or an owner found wrong, for SharedText: title, newline, evidence.
std::string damage_text(const Region& region, const CellAt& cell, const CellReading& reading,
                        std::string_view who, std::uint64_t round);

// The bytes of one spot (all owners' cells), as another process sees them. False: not readable now.
bool read_spot(int pid, const Region& region, std::size_t unit, std::size_t spot,
               std::vector<CellImage>& images);

}  // namespace mmquake
