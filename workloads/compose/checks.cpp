// SPDX-License-Identifier: GPL-2.0-or-later
//
// The oracle of `compose` between two rounds, every role parked.
#include <fmt/core.h>
#include <linux/mman.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "guest/memory/kernel_quirks.h"
#include "guest/memory/numa.h"
#include "guest/memory/text_file.h"
#include "guest/runner/memory_tiers.h"
#include "workloads/compose/compose.h"
#include "workloads/migration/checks_in_turn.h"

namespace mmquake {
namespace {

constexpr std::chrono::seconds kSettle{5};
// By how much a clean kernel may have more in use when all is let go: see docs/compose.md.
constexpr std::int64_t kLeftKb = 16L * 1024;
constexpr std::int64_t kRamDiskKb = 16L * 1024;
constexpr std::int64_t kProvokedKb = 64L * 1024;
constexpr double kRenewed = 0.5;
constexpr std::uint64_t kCountsEvery = 4;  // folding the per-CPU counts costs a few ms

}  // namespace

Result<> Compose::take_stock() {
  Environment& env = *world_->env;
  cells_written_ = env.counter("cells_written");
  cells_checked_ = env.counter("cells_read");
  overlaps_ = env.counter("overlaps");
  migrations_ = env.counter("migrations");
  thp_migrations_ = env.counter("thp_migrations");
  disturbed_ = env.counter("checks_disturbed");
  // What is mapped anew is not registered with userfaultfd.
  const bool by_uffd = world_->composition[Slot::kWatcher].starts_with("uffd-");
  if ((world_->composition.traits() & kThp) != 0 && !by_uffd) {
    renewed_ = env.counter("blocks_renewed");
    renewal_.emplace(env.seed(), "renewal");
  }
  if (world_->composition[Slot::kMover] == kDemotion) {
    demotions_ = env.counter("demotions");
  }
  Result<NodeRanges> ranges = NodeRanges::read();
  Result<PageFlags> flags = PageFlags::open();
  if (!ranges || !flags) {
    return tl::make_unexpected(ranges ? flags.error() : ranges.error());
  }
  ranges_ = std::move(*ranges);
  flags_ = std::move(*flags);
  Result<KernelCounters> vmstat = read_vmstat();
  if (!vmstat) {
    return tl::make_unexpected(vmstat.error());
  }
  vmstat_before_ = std::move(*vmstat);
  locked_before_ = locked_kb();
  return {};
}

std::optional<FindingRecord> Compose::check() {
  ++checks_;
  keep_a_page();
  world_->book->deeds_done.store(0);
  world_->book->users_done.store(0);
  if (const auto damage = world_->book->damage.take()) {
    return finding_of("corruption", *damage);
  }
  if (const auto misplaced = world_->book->misplaced.take()) {
    return finding_of("misplacement", *misplaced);
  }
  if (world_->book->error.is_set()) {
    return std::nullopt;  // verify_work() tells
  }
  std::optional<FindingRecord> found = first_finding<Compose>(
      *this, {&Compose::check_content, &Compose::check_places, &Compose::check_counts},
      [this](const Error& error) { fail(error); });
  if (found || world_->book->error.is_set()) {
    return found;
  }
  if (Result<> counted = count_kernel_events(); !counted) {
    fail(counted.error());
  }
  if (Result<> renewed = renew_blocks(); !renewed) {
    fail(renewed.error());
  }
  return std::nullopt;
}

// What was split stays split, so without this only the first round would have huge pages. Half of
// the blocks, since what becomes of the pieces counts, too.
Result<> Compose::renew_blocks() {
  for (std::size_t block = 0; renewal_ && block < kBlocks; ++block) {
    if (!renewal_->chance(kRenewed)) {
      continue;
    }
    Result<bool> renewed = renew_block(world_->area, block);
    if (!renewed) {
      return tl::make_unexpected(renewed.error());
    }
    renewed_.add(*renewed ? 1 : 0);
  }
  return {};
}

// Only what is there is read: where userfaultfd serves the faults, nobody would.
Result<std::optional<FindingRecord>> Compose::check_content() {
  const Area& area = world_->area;
  Result<PageMap> map = PageMap::open_self();
  if (!map) {
    return tl::make_unexpected(map.error());
  }
  for (std::size_t block = 0; block < kBlocks; ++block) {
    Result<std::vector<PageEntry>> entries = map->range(area.block_address(block), kHugePage);
    if (!entries) {
      return tl::make_unexpected(entries.error());
    }
    for (std::size_t cell = 0; cell < kCellsPerBlock; ++cell) {
      const CellBook& book = area.book(block, cell);
      const PageEntry entry = (*entries)[Area::page_of(cell)];
      const bool there = entry.present() || (entry.swapped() && !area.is_shared());
      if (book.generation.intended.load() == 0 ||
          (!there && watcher_ != nullptr && watcher_->serves_faults())) {
        continue;
      }
      const CellLook look = look_at_cell(area.at(block, cell), book, area.block(block).mark);
      if (auto damage = area.judge(block, cell, look, "the check", checks_)) {
        return std::optional(finding_of("corruption", *damage));
      }
    }
  }
  return std::optional<FindingRecord>();
}

// The pages with a cell, as process 0 has them; nullopt if something moved pages meanwhile.
Result<std::optional<std::vector<Sight>>> Compose::look_everywhere() {
  const Area& area = world_->area;
  Result<KernelCounters> before = read_vmstat();
  Result<PageMap> map = PageMap::open_self();
  if (!before || !map) {
    return tl::make_unexpected(before ? map.error() : before.error());
  }
  std::vector<Sight> sights;
  for (std::size_t block = 0; block < kBlocks; ++block) {
    Result<std::vector<int>> nodes = nodes_of(0, area.pages(block));
    Result<std::vector<PageEntry>> entries = map->range(area.block_address(block), kHugePage);
    if (!nodes || !entries) {
      return tl::make_unexpected(nodes ? entries.error() : nodes.error());
    }
    for (std::size_t cell = 0; cell < kCellsPerBlock; ++cell) {
      Sight sight;
      sight.unit = block * kCellsPerBlock + cell;
      sight.name = area.word();
      sight.said = (*nodes)[cell];
      sight.entry = (*entries)[Area::page_of(cell)];
      // What was only read has the page of zeros, all of it the same.
      const std::uint64_t pfn = sight.entry.pfn();
      const Result<std::uint64_t> flags = pfn == 0 ? Result<std::uint64_t>(0) : flags_->of(pfn);
      if (!flags) {
        return tl::make_unexpected(flags.error());
      }
      if (!has_flag(*flags, kKpfZeroPage)) {
        sights.push_back(std::move(sight));
      }
    }
  }
  Result<KernelCounters> after = read_vmstat();
  if (!after) {
    return tl::make_unexpected(after.error());
  }
  if (background_moves(*before) != background_moves(*after) ||
      value_of(*before, "pgmigrate_success") != value_of(*after, "pgmigrate_success")) {
    disturbed_.add();
    return std::optional<std::vector<Sight>>();
  }
  return std::optional(std::move(sights));
}

// Looked at twice, as in migrate-verify: what is wrong with pages that nobody uses stays wrong.
Result<std::optional<FindingRecord>> Compose::check_places() {
  if ((world_->composition.traits() & kKsm) != 0) {
    return std::optional<FindingRecord>();  // many places, one page: that is its purpose
  }
  std::optional<FindingRecord> wrong;
  for (int look = 0; look < 2; ++look) {
    Result<std::optional<std::vector<Sight>>> sights = look_everywhere();
    if (!sights) {
      return tl::make_unexpected(sights.error());
    }
    if (!*sights) {
      return std::optional<FindingRecord>();
    }
    wrong = judge_sights(std::move(**sights), *ranges_);
    if (!wrong) {
      return std::optional<FindingRecord>();
    }
  }
  return wrong;
}

std::uint64_t Compose::locked_kb() const {
  const Result<std::string> text = read_text("/proc/meminfo");
  const Result<KernelCounters> meminfo = text ? parse_counters(*text) : Result<KernelCounters>();
  return meminfo ? value_of(*meminfo, "Mlocked") : 0;
}

Result<std::optional<std::string>> Compose::locked_wrong() const {
  std::uint64_t locked = locked_kb();
  if (locked > locked_before_) {
    // Some may be on their way: without this 6.1 was accused of two pages.
    if (const long rc = drain_lru_batches(world_->nodes.front()); rc < 0) {
      return broken(fmt::format("migrate_pages() of a node to itself: {}", errno_text(-rc)));
    }
    fold_vmstat();
    locked = locked_kb();
  }
  if (!world_->composition.disturbed_by("mlock") || locked <= locked_before_) {
    return std::optional<std::string>();
  }
  return std::optional(fmt::format(
      "unlocked pages count as locked\nMlocked: {} kB before, {} kB with nothing locked",
      locked_before_, locked));
}

Result<std::optional<std::string>> Compose::counts_wrong() {
  fold_vmstat();
  Result<KernelCounters> vmstat = read_vmstat();
  if (!vmstat) {
    return tl::make_unexpected(vmstat.error());
  }
  if (auto isolated = isolated_left(*vmstat, {})) {
    return std::optional("isolated pages do not add up\n" + *isolated);
  }
  // Whose page is on its way while it is unlocked may keep it locked until it is freed (6.12:
  // free_pages_prepare()), so with others at work only the end of the trial counts.
  if (world_->deeds == 1) {
    if (Result<std::optional<std::string>> wrong = locked_wrong(); !wrong || *wrong) {
      return wrong;
    }
  }
  for (const std::atomic<int>& pid : world_->book->pids) {
    if (pid.load() == 0) {
      continue;
    }
    Result<std::optional<std::string>> wrong = resident_wrong(pid.load());
    if (!wrong || *wrong) {
      return wrong;
    }
  }
  return std::optional<std::string>();
}

// The kernel's count of a process's pages against its page tables. It judges its own count when the
// process ends, but not whether it was right before.
Result<std::optional<std::string>> Compose::resident_wrong(int pid) const {
  Result<ResidentPages> pages = read_resident_pages(pid);
  if (!pages) {
    return tl::make_unexpected(pages.error());
  }
  pages->counted_kb += provoke_ == "lost-resident" ? kProvokedKb : 0;
  const std::string release = kernel_release();
  if (world_->composition[Slot::kMover] == "numa-balancing" && smaps_misses_hinting_pmds(release)) {
    return std::optional<std::string>();  // a bug of that kernel, known and mended since
  }
  const std::int64_t allowed =
      resident_error_kb(*pages, static_cast<std::int64_t>(world_->cpus.size()), release);
  if (std::abs(pages->counted_kb - pages->mapped_kb) <= allowed) {
    return std::optional<std::string>();
  }
  return std::optional(fmt::format(
      "a process's resident pages do not add up\nVmRSS: {} kB, in its page tables {} kB, "
      "which may be {} kB apart with {} threads\n",
      pages->counted_kb, pages->mapped_kb, allowed, pages->threads));
}

// What settles a moment later is looked at until a deadline.
Result<std::optional<FindingRecord>> Compose::check_counts() {
  if (checks_ % kCountsEvery != 0) {
    return std::optional<FindingRecord>();
  }
  Result<std::optional<std::string>> wrong =
      wrong_until(Clock::now() + world_->env->scaled(kSettle), [this] { return counts_wrong(); });
  if (!wrong) {
    return tl::make_unexpected(wrong.error());
  }
  return *wrong ? std::optional(finding_of("leak", **wrong)) : std::nullopt;
}

Result<> Compose::count_kernel_events() {
  Result<KernelCounters> now = read_vmstat();
  if (!now) {
    return tl::make_unexpected(now.error());
  }
  for (const auto& [event, counter] : {std::pair("pgmigrate_success", &migrations_),
                                       std::pair("thp_migration_success", &thp_migrations_)}) {
    const std::uint64_t grown = value_of(*now, event) - value_of(vmstat_before_, event);
    counter->add(grown - counter->value());
  }
  if (demotions_) {
    const std::uint64_t grown = demotions_in(*now) - demotions_in(vmstat_before_);
    demotions_->add(grown - std::min(grown, demotions_->value()));
  }
  return {};
}

// Provoked: as if the kernel had lost a huge page in each round, or a page that counts as locked.
void Compose::keep_a_page() {
  if (provoke_ == "kept-locked" && checks_ == 1) {
    void* const page = mmap(nullptr, kSmallPage, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0);
    if (page == MAP_FAILED) {
      fail({ErrorKind::kBroken, fmt::format("keep a locked page: {}", errno_text(errno))});
    }
  }
  if (provoke_ == "kept-pages") {
    void* const page = mmap(nullptr, kHugePage, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (page == MAP_FAILED) {
      fail({ErrorKind::kBroken, fmt::format("keep 2 MiB: {}", errno_text(errno))});
    }
  }
}

// Everything that was taken since set_up() began, but for the book.
void Compose::let_go() {
  if (provoke_ == "kept-hugepage") {
    const int size = world_->area.is_one_page() ? MAP_HUGE_1GB : MAP_HUGE_2MB;
    (void)mmap(nullptr, world_->area.page_bytes(), PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE | size, -1, 0);
  }
  watcher_.reset();
  parts_.clear();
  world_->area = Area();
  swap_.reset();
  hugetlb_ = HugetlbReservation();
}

Result<std::optional<std::string>> Compose::left_behind() {
  Result<MemoryLevel> level = read_memory_level();
  if (!level) {
    return tl::make_unexpected(level.error());
  }
  left_kb_ = level->used_kb - level_before_.used_kb;
  std::int64_t allowed = kLeftKb;
  if (swap_keeps_memory_) {
    allowed += kRamDiskKb;
  }
  if (auto lost = not_given_back(level_before_, *level, allowed)) {
    return lost;
  }
  fold_vmstat();
  if (Result<std::optional<std::string>> wrong = locked_wrong(); !wrong || *wrong) {
    return wrong;
  }
  return resident_wrong(getpid());
}

std::optional<FindingRecord> Compose::check_aftermath() {
  const Clock::time_point end = Clock::now() + world_->env->scaled(kSettle);
  // The threads are gone, and with them what each kept to itself; the memory is still mapped.
  Result<std::optional<std::string>> wrong =
      wrong_until(end, [this] { return resident_wrong(getpid()); });
  let_go();
  if (wrong && !*wrong) {
    wrong = wrong_until(end, [this] { return left_behind(); });
  }
  world_->env->counter("left_behind_kb")
      .add(static_cast<std::uint64_t>(std::max<std::int64_t>(left_kb_, 0)));
  // procfs that cannot be read any more says nothing about the kernel's counts.
  return wrong && *wrong ? std::optional(finding_of("leak", **wrong)) : std::nullopt;
}

}  // namespace mmquake
