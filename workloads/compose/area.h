// SPDX-License-Identifier: GPL-2.0-or-later
//
// The memory of a composition: blocks of 2 MiB with one cell on every eighth page. The pages
// between are used by nobody, so a disturber may do to them what it likes.
#pragma once

#include <atomic>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "guest/memory/mapping.h"
#include "guest/protocol/composition.h"
#include "guest/runner/workload.h"
#include "workloads/compose/cell_ledger.h"
#include "workloads/gigantic/gigantic_pages.h"
#include "workloads/hugetlb/shared_pmd_area.h"
#include "workloads/migration/shared_book.h"

namespace mmquake {

inline constexpr std::size_t kBlocks = 4;
inline constexpr std::size_t kBlockPages = kHugePage / kSmallPage;
inline constexpr std::size_t kPageStride = 8;
inline constexpr std::size_t kCellsPerBlock = kBlockPages / kPageStride;
inline constexpr std::size_t kWriters = 3;  // in process 0; the last of a shared area in process 1
inline constexpr std::size_t kComposeProcesses = 2;

// Who is inside of a block may touch it; who needs its addresses for himself shuts it. Nobody ever
// waits for a lock here: a role that hangs in the kernel must not make others look stuck.
class BlockDoor {
 public:
  bool enter();  // false: shut
  void leave() { inside_.fetch_sub(1); }
  // Waits, yielding, until nobody is inside. False: somebody else has shut it, or `stopping`.
  bool shut(const RoleContext& context);
  void open() { shut_.store(0); }

 private:
  std::atomic<std::uint32_t> inside_{0};
  std::atomic<std::uint32_t> shut_{0};
};

struct BlockBook {
  EmptyMark mark;
  BlockDoor door;
  // Raised before and after a page between the cells is dropped: odd, or changed, says that such
  // pages may be others than they were.
  std::atomic<std::uint64_t> idle_drops{0};
  // uffd-wp: how often this block was protected, uffd-minor: how often it was unmapped; and for
  // each cell's page the last of these times after which the handler was told of a fault.
  std::atomic<std::uint64_t> guards{0};
  std::array<std::atomic<std::uint64_t>, kCellsPerBlock> reported{};
  // A cell's account: one more than the guards when it was opened, 0 before, and the emptying's
  // state since when it is kept.
  std::array<std::atomic<std::uint64_t>, kCellsPerBlock> written_since{};
  std::array<std::atomic<std::uint64_t>, kCellsPerBlock> written_in{};
};

// What all processes of the workload share.
struct ComposeBook {
  std::array<std::atomic<int>, kComposeProcesses> pids{};
  std::atomic<std::uint64_t> deeds_done{0};    // of this round
  std::atomic<std::uint64_t> users_done{0};    // writers and deeds: the userfaultfd handler is last
  std::atomic<std::uint64_t> writers_node{0};  // where the writers should run (NUMA balancing)
  std::atomic<std::uint64_t> acting{0};        // movers and disturbers inside of an act
  std::atomic<int> child{0};                   // of fork-cow, while it lives
  std::array<std::atomic<int>, kWriters - 1> threads{};  // the writers of process 0
  std::atomic<int> debugger{0};
  std::atomic<int> tracee{0};  // whom the debugger has stopped, or waits for
  SharedText damage;           // title, a newline, evidence
  SharedText misplaced;
  SharedText error;
};

// What one call takes that can take no less.
struct Stretch {
  std::size_t first = 0, end = 0;  // blocks
  void* at = nullptr;
  std::size_t bytes = 0;
  std::size_t file_offset = 0;
};

class Area {
 public:
  static Result<Area> create(const Composition& composition, SharedMemory& memory);

  Backing backing() const { return backing_; }
  bool is_shared() const { return mmquake::is_shared(backing()); }
  const std::string& word() const { return word_; }
  int fd() const { return fd_; }
  int map_flags() const;  // of an mmap() over a block
  std::uintptr_t address() const { return reinterpret_cast<std::uintptr_t>(base_); }
  std::size_t size() const { return size_; }
  // From a block to the next: where page tables are shared, blocks lie apart.
  std::size_t stride() const { return stride_; }
  std::size_t file_offset(std::size_t block) const { return block * stride_; }
  std::uintptr_t block_address(std::size_t block) const { return address() + block * stride_; }
  std::byte* page_at(std::size_t block, std::size_t page) const {
    return base_ + block * stride_ + page * kSmallPage;
  }
  // The block; or all of the memory, where that is one page.
  Stretch stretch(std::size_t block) const;
  bool is_one_page() const { return gigantic_.has_value(); }
  bool is_hugetlb() const { return backing() == Backing::kHugetlb2m || is_one_page(); }
  // The kernel's pages, if the area is hugetlb; small ones else.
  std::size_t page_bytes() const;
  BlockBook& block(std::size_t index) const { return blocks_[index]; }

  static std::size_t page_of(std::size_t cell) { return cell * kPageStride; }
  // A page of a block that holds no cell.
  static std::size_t idle_page(Random& random) {
    return random.below(kCellsPerBlock) * kPageStride + 1 + random.below(kPageStride - 1);
  }
  std::size_t writers() const { return is_shared() ? kWriters : kWriters - 1; }
  // The writers, and behind them the debugger if there is one, who writes without a role for it.
  std::size_t owners() const { return writers() + (has_debugger_ ? 1 : 0); }
  std::size_t writer_of(std::size_t cell) const { return cell % owners(); }
  bool is_poked(std::size_t cell) const { return writer_of(cell) >= writers(); }
  std::byte* at(std::size_t block, std::size_t cell) const;
  CellPlace place(std::size_t block, std::size_t cell) const;
  CellBook& book(std::size_t block, std::size_t cell) const {
    return cells_[block * kCellsPerBlock + cell];
  }
  // The addresses of the pages with a cell.
  std::vector<std::uintptr_t> pages(std::size_t block) const;
  // What the next write to a cell is: in memory for ksmd all cells of a round are alike.
  std::uint64_t next_generation(const CellBook& book, std::uint64_t round) const;

  // Is what is seen there wrong? The text for ComposeBook::damage.
  std::optional<std::string> judge(std::size_t block, std::size_t cell, const CellLook& look,
                                   std::string_view who, std::uint64_t round) const;

 private:
  std::string word_;
  bool all_alike_ = false;
  bool has_debugger_ = false;
  Result<> map();
  Result<> map_shared_pmds();
  Result<> map_gigantic();

  Backing backing_ = Backing::kAnon4k;
  Mapping mapping_;
  std::optional<SharedPmdArea> shared_pmds_;  // instead of the mapping
  std::optional<GiganticFile> gigantic_;      // likewise
  std::byte* base_ = nullptr;
  std::size_t size_ = 0, stride_ = kHugePage;
  int fd_ = -1;
  std::span<BlockBook> blocks_;
  std::span<CellBook> cells_;
};

// Inside of a block for as long as it lives, if it could enter.
class Inside {
 public:
  explicit Inside(BlockDoor& door) : door_(door.enter() ? &door : nullptr) {}
  ~Inside() {
    if (door_ != nullptr) {
      door_->leave();
    }
  }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;
  explicit operator bool() const { return door_ != nullptr; }

 private:
  BlockDoor* door_;
};

}  // namespace mmquake
