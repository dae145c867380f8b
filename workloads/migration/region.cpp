// SPDX-License-Identifier: GPL-2.0-or-later
#include "workloads/migration/region.h"

#include <fmt/core.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "guest/memory/page_map.h"
#include "workloads/migration/movers.h"

namespace mmquake {
namespace {

// Both ends of a huge page, what lies around its middle, and a few in between: an error that takes
// some subpages only is met by some spot.
constexpr std::array<std::size_t, 8> kHugeSpots{0, 1, 73, 146, 255, 256, 400, 511};
constexpr std::size_t kSmallSpots = 2;

}  // namespace

Result<Region> Region::create(std::uint32_t id, Backing backing, std::size_t units, int process,
                              const std::vector<Owner>& owners, SharedMemory& memory) {
  Region region;
  region.id_ = id;
  region.process_ = process;
  for (const Owner& owner : owners) {
    if (region.seen_by(owner.process)) {
      region.owners_.push_back(owner);
    }
  }
  Result<Mapping> mapping = Mapping::create(backing, units * unit_bytes(backing));
  if (!mapping) {
    return tl::make_unexpected(mapping.error());
  }
  region.mapping_ = std::move(*mapping);
  Result<std::span<UnitBook>> books = memory.take<UnitBook>(units);
  if (!books) {
    return tl::make_unexpected(books.error());
  }
  region.units_ = *books;
  Result<std::span<Published>> cells =
      memory.take<Published>(units * region.spots() * region.owners_.size());
  if (!cells) {
    return tl::make_unexpected(cells.error());
  }
  region.cells_ = *cells;
  return region;
}

std::string Region::name() const {
  std::string text(to_string(backing()));
  if (process_ != kAllProcesses) {
    text += fmt::format(" of process {}", process_);
  }
  return text;
}

std::size_t Region::spots() const {
  return is_huge() ? kHugeSpots.size() : kSmallSpots;
}

std::size_t Region::slot_of(std::uint32_t owner) const {
  std::size_t slot = 0;
  while (slot < owners_.size() && owners_[slot].id != owner) {
    ++slot;
  }
  return slot;
}

std::size_t Region::offset(const CellAt& cell) const {
  const std::size_t row = owners_.size() * kCellBytes;
  const std::size_t last = kSmallPage - row;  // the row ends with the page
  std::size_t in_unit = 0;
  if (is_huge()) {
    // Another place in each subpage, so that no two of them look alike.
    in_unit = kHugeSpots[cell.spot] * kSmallPage + (cell.spot * 512) % (last + kCellBytes);
  } else {
    in_unit = cell.spot == 0 ? 0 : last;
  }
  return cell.unit * unit_bytes(backing()) + in_unit + cell.slot * kCellBytes;
}

std::uintptr_t Region::page_of(std::size_t unit, std::size_t spot) const {
  return (mapping_.address() + offset({unit, spot, 0})) / kSmallPage * kSmallPage;
}

CellPlace Region::place(const CellAt& cell) const {
  return {.region = id_, .owner = owners_[cell.slot].id, .index = offset(cell) / kCellBytes};
}

Published& Region::book(const CellAt& cell) const {
  return cells_[(cell.unit * spots() + cell.spot) * owners_.size() + cell.slot];
}

void Region::populate(std::size_t unit, std::size_t slot) {
  for (std::size_t spot = 0; spot < spots(); ++spot) {
    const CellAt cell{unit, spot, slot};
    if (book(cell).published.load(std::memory_order_relaxed) == 0) {
      publish_next(at(cell), place(cell), book(cell));
    }
  }
}

bool Region::is_populated(std::size_t unit, std::size_t spot) const {
  for (std::size_t slot = 0; slot < owners_.size(); ++slot) {
    if (book({unit, spot, slot}).published.load(std::memory_order_acquire) != 0) {
      return true;
    }
  }
  return false;
}

// MADV_DONTNEED leaves an empty page table behind, and where there is one the kernel maps small
// pages only.
Result<> Region::map_anew(std::size_t unit) {
  void* at = mapping_.data() + unit * kHugePage;
  if (mmap(at, kHugePage, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
          MAP_FAILED ||
      madvise(at, kHugePage, MADV_HUGEPAGE) != 0) {
    return broken(fmt::format("map unit {} of {} anew: {}", unit, name(), errno_text(errno)));
  }
  return {};
}

Result<> Region::discard_unit(std::size_t unit) {
  const std::size_t bytes = unit_bytes(backing());
  Result<> done =
      backing() == Backing::kAnonThp ? map_anew(unit) : mapping_.discard(unit * bytes, bytes);
  if (!done) {
    return done;
  }
  for (std::size_t spot = 0; spot < spots(); ++spot) {
    for (std::size_t slot = 0; slot < owners_.size(); ++slot) {
      book({unit, spot, slot}).intended.store(0);
      book({unit, spot, slot}).published.store(0);
    }
  }
  return {};
}

std::string damage_text(const Region& region, const CellAt& cell, const CellReading& reading,
                        std::string_view who, std::uint64_t round) {
  std::string text = fmt::format("a cell of {} memory is {}\n", to_string(region.backing()),
                                 to_string(*reading.damage));
  text += fmt::format("read by {} in round {}: {}, unit {}, spot {}\n", who, round, region.name(),
                      cell.unit, cell.spot);
  text += describe(reading.image, region.place(cell), reading.oldest, reading.newest);
  const UnitBook& unit = region.unit(cell.unit);
  text +=
      unit.last_round == 0
          ? fmt::format("\nnobody was seen to move the unit; it is on node {}\n", unit.node.load())
          : fmt::format("\nthe unit was last seen to move in round {}, by {}, to node {}\n",
                        unit.last_round.load(),
                        to_string(static_cast<Mover>(unit.last_mover.load())), unit.node.load());
  const CellReading again = read_cell(region.at(cell), region.place(cell), region.book(cell));
  text += fmt::format("read again: {}\n", again.damage ? to_string(*again.damage) : "right");
  if (Result<PageMap> map = PageMap::open_self()) {
    if (Result<PageEntry> entry = map->at(region.page_of(cell.unit, cell.spot))) {
      text += fmt::format("page map of process {}: {}", getpid(), describe(*entry));
    }
  }
  return text;
}

bool read_spot(int pid, const Region& region, std::size_t unit, std::size_t spot,
               std::vector<CellImage>& images) {
  images.assign(region.owners().size(), CellImage{});
  iovec here{images.data(), images.size() * sizeof(CellImage)};
  iovec there{region.at({unit, spot, 0}), here.iov_len};
  return process_vm_readv(pid, &here, 1, &there, 1, 0) == static_cast<ssize_t>(here.iov_len);
}

}  // namespace mmquake
