// SPDX-License-Identifier: GPL-2.0-or-later
#include "workloads/compose/area.h"

#include <fmt/core.h>
#include <sched.h>
#include <sys/mman.h>

#include <cerrno>

namespace mmquake {
namespace {

Backing backing_of(const Composition& composition) {
  const Traits traits = composition.traits();
  if ((traits & kHugetlb) != 0) {
    return Backing::kHugetlb2m;
  }
  if ((traits & kShared) != 0) {
    return (traits & kThp) != 0 ? Backing::kShmemThp : Backing::kShmem4k;
  }
  return (traits & kThp) != 0 ? Backing::kAnonThp : Backing::kAnon4k;
}

}  // namespace

bool BlockDoor::enter() {
  inside_.fetch_add(1);
  if (shut_.load() == 0) {
    return true;
  }
  inside_.fetch_sub(1);
  return false;
}

bool BlockDoor::shut(const RoleContext& context) {
  std::uint32_t expected = 0;
  if (!shut_.compare_exchange_strong(expected, 1)) {
    return false;
  }
  while (inside_.load() != 0) {
    if (context.stopping()) {
      open();
      return false;
    }
    sched_yield();
  }
  return true;
}

Result<Area> Area::create(const Composition& composition, SharedMemory& memory) {
  Area area;
  area.word_ = composition[Slot::kBacking];
  area.all_alike_ = (composition.traits() & kKsm) != 0;
  area.has_debugger_ = composition.disturbed_by("ptrace");
  area.backing_ = backing_of(composition);
  if (Result<> mapped = area.map(); !mapped) {
    return tl::make_unexpected(mapped.error());
  }
  if (area.all_alike_ && madvise(area.base_, area.size(), MADV_MERGEABLE) != 0) {
    return skipped(
        fmt::format("MADV_MERGEABLE: {}: the kernel needs CONFIG_KSM", errno_text(errno)));
  }
  Result<std::span<BlockBook>> blocks = memory.take<BlockBook>(kBlocks);
  Result<std::span<CellBook>> cells = memory.take<CellBook>(kBlocks * kCellsPerBlock);
  if (!blocks || !cells) {
    return tl::make_unexpected(blocks ? cells.error() : blocks.error());
  }
  area.blocks_ = *blocks;
  area.cells_ = *cells;
  return area;
}

Result<> Area::map() {
  if (word_ == "hugetlb-shared-pmd") {
    return map_shared_pmds();
  }
  if (word_ == "hugetlb-1g") {
    return map_gigantic();
  }
  Result<Mapping> mapping = Mapping::create(backing_, kBlocks * kHugePage);
  if (!mapping) {
    return tl::make_unexpected(mapping.error());
  }
  mapping_ = std::move(*mapping);
  base_ = mapping_.data();
  size_ = mapping_.size();
  fd_ = mapping_.fd();
  return {};
}

Result<> Area::map_shared_pmds() {
  Result<SharedPmdArea> made = SharedPmdArea::create();
  if (!made) {
    return tl::make_unexpected(made.error());
  }
  shared_pmds_ = std::move(*made);
  base_ = shared_pmds_->data();
  size_ = SharedPmdArea::kBytes;
  stride_ = 2 * kHugePage;
  Result<> mapped = shared_pmds_->renew();
  fd_ = shared_pmds_->fd();
  if (mapped) {
    // Before any fork, so that the others find a page table to share. Two that make theirs at the
    // same moment never share.
    (void)std::atomic_ref(*base_).load();
  }
  return mapped;
}

// The blocks lie apart in the one page.
Result<> Area::map_gigantic() {
  Result<GiganticFile> made = GiganticFile::create();
  if (!made) {
    return tl::make_unexpected(made.error());
  }
  gigantic_ = std::move(*made);
  base_ = gigantic_->data();
  size_ = kGiganticPage;
  stride_ = kGiganticPage / kBlocks;
  fd_ = gigantic_->fd();
  // The kernel clears it for seconds: before the roles, whose time is limited.
  (void)std::atomic_ref(*base_).load();
  return {};
}

Stretch Area::stretch(std::size_t block) const {
  if (is_one_page()) {
    return {0, kBlocks, base_, size_, 0};
  }
  return {block, block + 1, page_at(block, 0), kHugePage, file_offset(block)};
}

std::size_t Area::page_bytes() const {
  if (is_one_page()) {
    return kGiganticPage;
  }
  return is_hugetlb() ? kHugePage : kSmallPage;
}

int Area::map_flags() const {
  // As they were made: a hole of the large file takes no page from the pool.
  const int reserve = shared_pmds_ ? MAP_NORESERVE : 0;
  return MAP_FIXED | (fd_ < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED | reserve);
}

// At both ends of their pages by turns.
std::byte* Area::at(std::size_t block, std::size_t cell) const {
  const std::size_t in_page = cell % 2 == 0 ? 0 : kSmallPage - kCellBytes;
  return page_at(block, page_of(cell)) + (all_alike_ ? 0 : in_page);
}

CellPlace Area::place(std::size_t block, std::size_t cell) const {
  if (all_alike_) {
    return {1, 1, 1};
  }
  return {1, static_cast<std::uint32_t>(writer_of(cell)), block * kCellsPerBlock + cell};
}

std::vector<std::uintptr_t> Area::pages(std::size_t block) const {
  std::vector<std::uintptr_t> out;
  for (std::size_t cell = 0; cell < kCellsPerBlock; ++cell) {
    out.push_back(block_address(block) + page_of(cell) * kSmallPage);
  }
  return out;
}

std::uint64_t Area::next_generation(const CellBook& book, std::uint64_t round) const {
  const std::uint64_t last = book.generation.intended.load();
  return all_alike_ ? std::max(last, round) : last + 1;
}

std::optional<std::string> Area::judge(std::size_t block, std::size_t cell, const CellLook& look,
                                       std::string_view who, std::uint64_t round) const {
  CellLook judged = look;
  judged.copied = look.copied || is_poked(cell);
  const std::optional<Damage> damage = judge_look(judged, place(block, cell));
  if (!damage) {
    return std::nullopt;
  }
  const bool emptied = look.look_before.emptied() != look.write_before.emptied();
  return fmt::format(
      "{} data in {}{}\n"
      "block {}, page {}, seen by {} in round {}\n{}\n"
      "emptied {} times before the write, {} before the look, {} after it ({}); given up {} and "
      "{}\n",
      to_string(*damage), word_, look.by_device ? " through a device" : "", block, page_of(cell),
      who, round, describe(look.image, place(block, cell), look.oldest, look.newest),
      look.write_before.emptied(), look.look_before.emptied(), look.look_after.emptied(),
      emptied ? "so zero was allowed" : "so the last generation was expected",
      look.write_before.given_up(), look.look_before.given_up());
}

}  // namespace mmquake
