// SPDX-License-Identifier: GPL-2.0-or-later
//
// The oracle of migrate-verify between two rounds, every role parked.
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>

#include "workloads/migration/checks_in_turn.h"
#include "workloads/migration/migrate_verify.h"

namespace mmquake {
namespace {

constexpr std::chrono::seconds kSettle{5};
constexpr std::uint64_t kIsolatedEvery = 4;  // folding the per-CPU counts costs a few ms
constexpr std::uint64_t kBindEvery = 3;
constexpr std::size_t kQuietSmall = 4;  // pages of each region of small ones
constexpr std::uint32_t kMostRebuilds = 3;
constexpr std::uint64_t kLeakFrom = 3;

FindingRecord finding(const char* kind, std::string title, std::string evidence) {
  FindingRecord record;
  record.kind = kind;
  record.title = std::move(title);
  record.role = "check";
  record.evidence["details"] = std::move(evidence);
  return record;
}

QuietMove quiet_move(const Region& region, std::size_t unit, const char* by) {
  QuietMove move;
  move.what = fmt::format("{}, unit {}", region.name(), unit);
  move.by = by;
  return move;
}

}  // namespace

std::optional<FindingRecord> MigrateVerify::check() {
  checks_.add();
  if (std::optional<FindingRecord> damage = reported_damage()) {
    return damage;
  }
  if (book_->error.is_set()) {
    return std::nullopt;  // verify_work() tells
  }
  book_->rebuild_region.store(kNoRegion);
  std::optional<FindingRecord> found = first_finding<MigrateVerify>(
      *this,
      {&MigrateVerify::check_content, &MigrateVerify::check_places, &MigrateVerify::check_hugetlb,
       &MigrateVerify::check_isolated, &MigrateVerify::check_quiet_moves,
       &MigrateVerify::check_quiet_bind},
      [this](const Error& error) { fail(error); });
  if (found || book_->error.is_set()) {
    return found;
  }
  if (Result<> counted = count_kernel_events(); !counted) {
    fail(counted.error());
  }
  return std::nullopt;
}

Clock::time_point MigrateVerify::settled() const {
  return Clock::now() + env_->scaled(kSettle);
}

std::optional<FindingRecord> MigrateVerify::reported_damage() {
  const std::optional<std::string> text = book_->damage.take();
  if (!text) {
    return std::nullopt;
  }
  return finding_of("corruption", *text);
}

MigrateVerify::Verdict MigrateVerify::check_content() {
  for (const Region& region : regions_) {
    const int pid = book_->pids.at(static_cast<std::size_t>(region.process())).load();
    Verdict verdict = check_content_of(region, pid);
    if (!verdict || *verdict) {
      return verdict;
    }
  }
  return std::nullopt;
}

// Nobody writes, so every cell holds exactly what was published. A third process reads: shared
// memory through its own mapping, the others' private memory by process_vm_readv.
MigrateVerify::Verdict MigrateVerify::check_content_of(const Region& region, int pid) {
  std::vector<CellImage> images;
  for (std::size_t unit = 0; unit < region.units(); ++unit) {
    for (std::size_t spot = 0; spot < region.spots(); ++spot) {
      // Where nothing was written there is nothing to read, and reading would map the huge zero
      // page, which the first write splits.
      if (!region.is_populated(unit, spot)) {
        continue;
      }
      const bool own = region.process() == kAllProcesses;
      if (!own && !read_spot(pid, region, unit, spot, images)) {
        return broken(fmt::format("process_vm_readv of {}, unit {}", region.name(), unit));
      }
      for (std::size_t slot = 0; slot < region.owners().size(); ++slot) {
        const CellAt cell{unit, spot, slot};
        CellReading reading;
        reading.image = own ? load_cell(region.at(cell)) : images[slot];
        reading.oldest = region.book(cell).published.load();
        reading.newest = region.book(cell).intended.load();
        if (reading.newest != 0) {
          reading.damage =
              classify(reading.image, region.place(cell), reading.oldest, reading.newest);
        }
        if (reading.damage) {
          const std::string text = damage_text(region, cell, reading, "the check", checks_.value());
          book_->damage.put(text);
          return reported_damage();
        }
      }
    }
  }
  return std::nullopt;
}

// All units as all processes see them; nullopt if something moved pages meanwhile.
Result<std::optional<std::vector<Sight>>> MigrateVerify::look_everywhere() {
  Result<KernelCounters> before = read_vmstat();
  std::vector<Sight> sights;
  for (int process = 0; process < kProcesses; ++process) {
    const int pid = book_->pids[static_cast<std::size_t>(process)].load();
    if (pid == 0) {
      continue;
    }
    Result<std::vector<Sight>> seen = look_at(regions_, process, pid, &*flags_);
    if (!seen) {
      return tl::make_unexpected(seen.error());
    }
    sights.insert(sights.end(), seen->begin(), seen->end());
  }
  Result<KernelCounters> after = read_vmstat();
  if (!before || !after) {
    return tl::make_unexpected(before ? after.error() : before.error());
  }
  choose_rebuild(sights);
  if (background_moves(*before) != background_moves(*after) ||
      value_of(*before, "pgmigrate_success") != value_of(*after, "pgmigrate_success")) {
    disturbed_.add();
    return std::nullopt;
  }
  return sights;
}

// What is wrong with pages that nobody uses stays wrong, so it is looked at twice: the events of a
// background mover may come a moment before or after what it did.
MigrateVerify::Verdict MigrateVerify::check_places() {
  hugetlb_known_ = false;
  std::optional<FindingRecord> wrong;
  for (int look = 0; look < 2; ++look) {
    Result<std::optional<std::vector<Sight>>> sights = look_everywhere();
    if (!sights) {
      return tl::make_unexpected(sights.error());
    }
    if (!*sights) {
      return std::nullopt;
    }
    count_hugetlb(**sights);
    wrong = judge_sights(std::move(**sights), *ranges_);
    if (!wrong) {
      return std::nullopt;
    }
  }
  return wrong;
}

// On which nodes the hugetlb pages lie that the runner's process maps, by their PFNs.
void MigrateVerify::count_hugetlb(const std::vector<Sight>& sights) {
  hugetlb_on_.clear();
  hugetlb_known_ = true;
  for (const Sight& sight : sights) {
    if (regions_[sight.region].backing() != Backing::kHugetlb2m || sight.process != 0) {
      continue;
    }
    const std::optional<int> node =
        sight.entry.pfn() == 0 ? std::nullopt : ranges_->node_of(sight.entry.pfn());
    hugetlb_known_ = hugetlb_known_ && node.has_value();
    ++hugetlb_on_[node.value_or(sight.said)];
  }
}

// Brings the units' books up to date, and picks one that is no huge page any more.
void MigrateVerify::choose_rebuild(const std::vector<Sight>& sights) {
  for (const Sight& sight : sights) {
    Region& region = regions_[sight.region];
    // Shared memory is looked at through the runner's own mapping, which check_content() has
    // filled.
    if (sight.process != region.process() || sight.entry.pfn() == 0) {
      continue;
    }
    UnitBook& unit = region.unit(sight.unit);
    unit.node.store(sight.said);
    const bool huge = sight.pages > 1;
    unit.huge.store(huge ? 1 : 0);
    if (region.is_huge() && region.backing() != Backing::kHugetlb2m && !huge &&
        book_->rebuild_region.load() == kNoRegion && unit.rebuilds.load() < kMostRebuilds) {
      unit.rebuilds.fetch_add(1);
      book_->rebuild_unit.store(sight.unit);
      book_->rebuild_region.store(static_cast<int>(region.id()));
    } else if (huge) {
      unit.rebuilds.store(0);
    }
  }
}

MigrateVerify::Verdict MigrateVerify::check_hugetlb() {
  if (!ledger_ || !hugetlb_known_) {
    return std::nullopt;
  }
  if (provoked("leak") && checks_.value() >= kLeakFrom && !leaked_) {
    Result<Mapping> more = Mapping::create(Backing::kHugetlb2m, kHugePage);
    if (!more) {
      return tl::make_unexpected(more.error());
    }
    leaked_ = std::move(*more);
    *leaked_->data() = std::byte{1};
  }
  Result<std::optional<std::string>> wrong =
      wrong_until(settled(), [this]() -> Result<std::optional<std::string>> {
        Result<HugetlbLedger> now = read_ledger(nodes_);
        if (!now) {
          return tl::make_unexpected(now.error());
        }
        return hugetlb_mismatch(*ledger_, *now, hugetlb_on_);
      });
  if (!wrong) {
    return tl::make_unexpected(wrong.error());
  }
  if (!*wrong) {
    return std::nullopt;
  }
  return finding("leak", "the hugetlb pool does not add up", **wrong);
}

MigrateVerify::Verdict MigrateVerify::check_isolated() {
  if (!is_due(kIsolatedEvery)) {
    return std::nullopt;
  }
  Result<std::optional<std::string>> wrong =
      wrong_until(settled(), [this]() -> Result<std::optional<std::string>> {
        if (log_) {
          log_->lines_with("");  // what others caused before does not count
        }
        fold_vmstat();
        Result<KernelCounters> vmstat = read_vmstat();
        if (!vmstat) {
          return tl::make_unexpected(vmstat.error());
        }
        return isolated_left(*vmstat, log_ ? log_->lines_with("vmstat_refresh: nr_isolated_")
                                           : std::vector<std::string>());
      });
  if (!wrong) {
    return tl::make_unexpected(wrong.error());
  }
  if (!*wrong) {
    return std::nullopt;
  }
  return finding("leak", "isolated pages do not add up", **wrong);
}

// Fills in where each page is now.
Result<> MigrateVerify::ask_after(std::vector<QuietMove>& moves,
                                  const std::vector<std::uintptr_t>& addresses, int pid) {
  Result<std::vector<int>> said = nodes_of(pid, addresses);
  Result<PageMap> map = PageMap::open(pid);
  if (!said || !map) {
    return tl::make_unexpected(said ? map.error() : said.error());
  }
  for (std::size_t i = 0; i < moves.size(); ++i) {
    Result<PageEntry> entry = map->at(addresses[i]);
    if (!entry) {
      return tl::make_unexpected(entry.error());
    }
    moves[i].said = (*said)[i];
    moves[i].entry = *entry;
  }
  return {};
}

// Some pages of one child, moved by nobody but this.
MigrateVerify::Verdict MigrateVerify::check_quiet_moves() {
  const int process = 1 + static_cast<int>(checks_.value() % (kProcesses - 1));
  const int pid = book_->pids.at(static_cast<std::size_t>(process)).load();
  if (pid == 0 || provoked("none-migrated")) {
    return std::nullopt;
  }
  QuietBatch batch = choose_quiet(process);
  if (batch.moves.empty()) {
    return std::nullopt;
  }
  Result<std::vector<int>> before = nodes_of(pid, batch.addresses);
  Result<KernelCounters> events = read_vmstat();
  if (!before || !events) {
    return tl::make_unexpected(before ? events.error() : before.error());
  }
  const int target = movers_->other_node(before->front(), *random_);
  const MoveResult result = move_pages_to(pid, batch.addresses, target);
  for (std::size_t i = 0; i < batch.moves.size(); ++i) {
    batch.moves[i].before = (*before)[i];
    batch.moves[i].status = result.status[i];
    if (provoked("misplaced") && result.status[i] == target) {
      batch.moves[i].status = movers_->other_node(target, *random_);
    }
  }
  if (Result<> asked = ask_after(batch.moves, batch.addresses, pid); !asked) {
    return tl::make_unexpected(asked.error());
  }
  Result<KernelCounters> events_after = read_vmstat();
  if (!events_after) {
    return tl::make_unexpected(events_after.error());
  }
  if (background_moves(*events) != background_moves(*events_after)) {
    disturbed_.add();
    return std::nullopt;
  }
  if (std::optional<FindingRecord> wrong = judge_quiet(batch.moves, *ranges_)) {
    return wrong;
  }
  return judge_events(*events, *events_after, batch);
}

MigrateVerify::QuietBatch MigrateVerify::choose_quiet(int process) {
  QuietBatch batch;
  for (const Region& region : regions_) {
    const std::size_t count = region.is_huge() ? 1 : std::min(kQuietSmall, region.units());
    const std::size_t first = random_->below(region.units() - count + 1);
    for (std::size_t unit = first; unit < first + count && region.seen_by(process); ++unit) {
      // khugepaged may be at work on what is no huge page and could be one.
      if (region.is_huge() && region.unit(unit).huge.load() == 0) {
        continue;
      }
      batch.units.emplace_back(&region, unit);
      batch.addresses.push_back(region.address(unit));
      batch.moves.push_back(quiet_move(region, unit, "move_pages"));
    }
  }
  return batch;
}

// What moved while all else stood still must be in the kernel's counts, too.
MigrateVerify::Verdict MigrateVerify::judge_events(const KernelCounters& before,
                                                   const KernelCounters& after,
                                                   const QuietBatch& batch) {
  std::uint64_t moved = 0;
  std::uint64_t moved_thp = 0;
  for (std::size_t i = 0; i < batch.moves.size(); ++i) {
    const QuietMove& move = batch.moves[i];
    const auto& [region, unit] = batch.units[i];
    if (move.said >= 0) {
      region->unit(unit).node.store(move.said);
    }
    if (move.before < 0 || move.status < 0 || move.before == move.status) {
      continue;
    }
    ++moved;
    // Whole before and whole after: not one that was split on its way.
    const bool thp = region->is_huge() && region->backing() != Backing::kHugetlb2m;
    if (thp && region->unit(unit).huge.load() != 0 && pages_at(*region, move.entry, &*flags_) > 1) {
      ++moved_thp;
    }
  }
  quiet_moves_.add(moved);
  const std::optional<std::string> wrong = migrations_not_counted(before, after, moved, moved_thp);
  if (!wrong) {
    return std::nullopt;
  }
  return finding("leak", "the kernel counts fewer migrations than it made", *wrong);
}

// A range of shared memory, in the runner's own process. mbind returns 0 only if every page that
// it found in the range conforms.
MigrateVerify::Verdict MigrateVerify::check_quiet_bind() {
  std::vector<Region*> shared;
  for (Region& region : regions_) {
    if (region.process() == kAllProcesses) {
      shared.push_back(&region);
    }
  }
  if (!is_due(kBindEvery) || provoked("none-migrated") || shared.empty()) {
    return std::nullopt;
  }
  Region& region = *shared[random_->below(shared.size())];
  const std::size_t count = region.is_huge() ? 1 : std::min(2 * kQuietSmall, region.units());
  const std::size_t first = random_->below(region.units() - count + 1);
  if (region.is_huge() && region.unit(first).huge.load() == 0) {
    return std::nullopt;
  }
  std::vector<QuietMove> moves;
  std::vector<std::uintptr_t> addresses;
  for (std::size_t unit = first; unit < first + count; ++unit) {
    addresses.push_back(region.address(unit));
    moves.push_back(quiet_move(region, unit, "mbind"));
  }
  Result<KernelCounters> events = read_vmstat();
  Result<std::vector<int>> before = nodes_of(0, addresses);
  if (!events || !before) {
    return tl::make_unexpected(events ? before.error() : events.error());
  }
  const int target = movers_->other_node(before->front(), *random_);
  const std::size_t bytes = count * unit_bytes(region.backing());
  const int error = bind_and_move(addresses[0], bytes, target);
  if (const int undone = unbind(addresses[0], bytes); undone != 0) {
    return broken(fmt::format("mbind(MPOL_DEFAULT): {}", status_text(-undone)));
  }
  for (std::size_t i = 0; i < moves.size(); ++i) {
    moves[i].before = (*before)[i];
    moves[i].status = error == 0 && moves[i].before >= 0 ? target : kNotReported;
  }
  if (Result<> asked = ask_after(moves, addresses, getpid()); !asked) {
    return tl::make_unexpected(asked.error());
  }
  for (std::size_t i = 0; i < moves.size(); ++i) {
    region.unit(first + i).node.store(moves[i].said);
  }
  Result<KernelCounters> events_after = read_vmstat();
  if (!events_after) {
    return tl::make_unexpected(events_after.error());
  }
  if (background_moves(*events) != background_moves(*events_after)) {
    disturbed_.add();
    return std::nullopt;
  }
  return judge_quiet(moves, *ranges_);
}

Result<> MigrateVerify::count_kernel_events() {
  Result<KernelCounters> vmstat = read_vmstat();
  if (!vmstat) {
    return tl::make_unexpected(vmstat.error());
  }
  for (auto& [name, counter] : kernel_events_) {
    const std::uint64_t grown = value_of(*vmstat, name) - value_of(vmstat_before_, name);
    counter.add(grown - std::min(grown, counter.value()));
  }
  return {};
}

}  // namespace mmquake
