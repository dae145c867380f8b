// SPDX-License-Identifier: GPL-2.0-or-later
//
// Pages that move between nodes while they are read and written keep their content, lie where the
// kernel says that it put them, and are counted rightly. Nothing else may come of move_pages(2),
// mbind(2) and migrate_pages(2), in whatever order they meet on a page. What breaks this rule is
// seen by user space as wrong data, mostly much later: until 017b1660df89 (4.19), for one, a
// hugetlb page behind a shared PMD went on being written by processes that never heard of its move.
//
//   process 0 (the runner's)   process 1                     process 2
//   reader-0   shared memory   writer-1a, writer-1b          writer-2a, writer-2b
//   mover-pages   by pid       reader-1                      reader-2
//   mover-process by pid       mover-mbind-1                 mover-mbind-2
//                              anon-4k, anon-thp of its own  anon-4k, anon-thp of its own
//   ------------- shmem-4k, shmem-thp, hugetlb-2m: all three processes -------------
//
// Content. Each writer has cells of its own in every unit it sees, and is the only one to change
// them. It announces a generation, writes it, and publishes it, in a book that lies elsewhere
// (guest/memory/pattern.h); before it writes, it reads its cell, which must hold exactly what it
// published. Readers of all processes accept what was published before they looked up to what was
// announced after. Between the rounds the runner's process reads everything once more.
//
// Placement, between the rounds: move_pages(nodes = NULL) and the PFN of the page map must name
// one node; processes must see one page at one place, and no two places one page; and a page that
// move_pages or mbind has moved while everything stands still must be where it says. During a
// round a status is history when it arrives, since other movers are at work: it is only counted.
//
// Accounting, between the rounds: the 2 MiB pool, whole and by node; nothing isolated any more;
// thp_migration_success and pgmigrate_success grow by what was moved while all else stood still.
//
// What looks like a bug and is not, and how it is kept out:
//   - EBUSY, EAGAIN (hugetlb's trylock of the VMA), ENOENT, EIO: refusals. Counted.
//   - A batch that the kernel gives up leaves the rest of its statuses untouched. Counted.
//   - A huge page that is split, since its target had no huge page free, or by anyone else: its
//     unit is given back and filled anew, in a round in which nobody else uses its region.
//   - Compaction, khugepaged and NUMA balancing move pages, too: if the kernel's events say that
//     they were at work during a look at the pages, the look is not judged ("disturbed").
//   - Counts that settle a moment later: looked at again until a deadline.
//   - Migration counts that two movers share: see movers.h.
//
// `provoke` breaks each rule on purpose, to prove that the oracle sees it.
#include "workloads/migration/migrate_verify.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "guest/race/placement.h"

namespace mmquake {
namespace {

constexpr std::size_t kBookBytes = 8UL * 1024 * 1024;
constexpr std::uint64_t kHugetlbPerNode = 20;
constexpr int kBurst = 64;  // cells between two pauses
// One call may move a whole process, and on a busy host each of its pages waits for every CPU. What
// hangs, hangs for ever, so patience costs nothing; but the kernel's own detectors come later.
constexpr std::chrono::milliseconds kLimit{8000};
constexpr std::uint64_t kSabotageFrom = 3;
constexpr std::uint64_t kPauseUs = 2000;

WorkloadInfo describe_migrate_verify() {
  WorkloadInfo info;
  info.name = "migrate-verify";
  info.summary =
      "content, placement and accounting of pages that migrate under readers and writers";
  info.exercises = {"move_pages", "mbind", "migrate_pages", "userspace reads and writes"};
  info.needs.numa_nodes = 2;
  info.needs.cpus = 2;
  info.needs.free_mib_per_node = 160;
  info.needs.hugetlb_2m_per_node = kHugetlbPerNode;
  info.needs.files = {"/proc/self/pagemap", "/proc/kpageflags", "/proc/zoneinfo"};
  info.needs.thp = true;
  ParamSpec backing;
  backing.name = "backing";
  backing.type = ParamSpec::Type::kChoice;
  backing.default_value = "all";
  backing.choices = {"all"};
  for (const Backing one : kAllBackings) {
    backing.choices.emplace_back(to_string(one));
  }
  backing.help = "which memory";
  ParamSpec small;
  small.name = "small-pages";
  small.default_value = "256";
  small.min = 16;
  small.max = 4096;
  small.help = "4 KiB pages in a region";
  ParamSpec huge;
  huge.name = "huge-pages";
  huge.default_value = "8";
  huge.min = 2;
  huge.max = 16;
  huge.help = "2 MiB pages in a region";
  ParamSpec provoke;
  provoke.name = "provoke";
  provoke.type = ParamSpec::Type::kChoice;
  provoke.default_value = "none";
  provoke.choices = {"none", "lost-write", "foreign", "zero", "misplaced", "leak", "none-migrated"};
  provoke.help = "breaks something on purpose, to test the oracle: it must find it";
  info.params = {backing, small, huge, provoke};
  return info;
}

}  // namespace

WorkloadInfo MigrateVerify::info() {
  return describe_migrate_verify();
}

Result<> MigrateVerify::set_up(Environment& env) {
  env_ = &env;
  provoke_ = env.param("provoke");
  nodes_ = env.memory_nodes();
  random_.emplace(env.seed(), "check");
  Result<SharedMemory> memory = SharedMemory::create(kBookBytes);
  if (!memory) {
    return tl::make_unexpected(memory.error());
  }
  memory_ = std::move(*memory);
  Result<std::span<Book>> book = memory_.take<Book>(1);
  if (!book) {
    return tl::make_unexpected(book.error());
  }
  book_ = book->data();
  for (std::atomic<std::uint64_t>& finished : book_->finished) {
    finished.store(UINT64_MAX);
  }
  cells_written_ = env.counter("cells_written");
  cells_read_ = env.counter("cells_read");
  checks_ = env.counter("checks");
  disturbed_ = env.counter("checks_disturbed");
  rebuilt_ = env.counter("huge_pages_rebuilt");
  quiet_moves_ = env.counter("quiet_moves");
  if (Result<> ready = take_stock(); !ready) {
    return ready;
  }
  if (Result<> mapped = map(static_cast<std::size_t>(env.param_int("small-pages")),
                            static_cast<std::size_t>(env.param_int("huge-pages")));
      !mapped) {
    return mapped;
  }
  movers_ = std::make_unique<Movers>(regions_, *book_, nodes_, env);
  return check_provocation();
}

// What the machine counts before this workload adds to it.
Result<> MigrateVerify::take_stock() {
  Result<NodeRanges> ranges = NodeRanges::read();
  if (!ranges) {
    return tl::make_unexpected(ranges.error());
  }
  ranges_ = std::move(*ranges);
  Result<PageFlags> flags = PageFlags::open();
  if (!flags) {
    return tl::make_unexpected(flags.error());
  }
  flags_ = std::move(*flags);
  if (Result<KernelLog> log = KernelLog::open()) {
    log_ = std::move(*log);  // without it, counts below zero are not seen
  }
  const std::string backing = env_->param("backing");
  if (backing == "all" || backing == to_string(Backing::kHugetlb2m)) {
    Result<HugetlbLedger> ledger = read_ledger(nodes_);
    if (!ledger) {
      return tl::make_unexpected(ledger.error());
    }
    ledger_ = std::move(*ledger);
  }
  Result<KernelCounters> vmstat = read_vmstat();
  if (!vmstat) {
    return tl::make_unexpected(vmstat.error());
  }
  vmstat_before_ = std::move(*vmstat);
  kernel_events_ = {{"thp_migration_success", env_->counter("thp_migrations")},
                    {"pgmigrate_success", env_->counter("pages_migrated")}};
  for (const char* name : {"pgmigrate_fail", "thp_migration_fail", "thp_migration_split"}) {
    kernel_events_[name] = env_->counter(name);
  }
  return {};
}

Result<> MigrateVerify::check_provocation() const {
  const auto has = [&](auto&& predicate) {
    return std::any_of(regions_.begin(), regions_.end(), predicate);
  };
  const auto is_hugetlb = [](const Region& region) {
    return region.backing() == Backing::kHugetlb2m;
  };
  if ((provoked("leak") && !has(is_hugetlb)) ||
      (provoked("zero") && !has(std::not_fn(is_hugetlb)))) {
    return usage(fmt::format("parameter provoke: '{}' does not exist for backing {}", provoke_,
                             env_->param("backing")));
  }
  return {};
}

Result<> MigrateVerify::map(std::size_t small_units, std::size_t huge_units) {
  owners_ = {{1, 1}, {2, 1}, {3, 2}, {4, 2}};
  const std::string wanted = env_->param("backing");
  if (wanted == "all" || wanted == to_string(Backing::kShmemThp)) {
    if (Result<> set = shmem_.set(); !set) {
      return set;
    }
  }
  for (const Backing backing : kAllBackings) {
    if (wanted != "all" && wanted != to_string(backing)) {
      continue;
    }
    const std::size_t units = unit_bytes(backing) == kSmallPage ? small_units : huge_units;
    const std::vector<int> processes =
        is_shared(backing) ? std::vector<int>{kAllProcesses} : std::vector<int>{1, 2};
    for (const int process : processes) {
      Result<Region> region = Region::create(static_cast<std::uint32_t>(regions_.size()), backing,
                                             units, process, owners_, memory_);
      if (!region) {
        return tl::make_unexpected(region.error());
      }
      regions_.push_back(std::move(*region));
    }
  }
  // Shared pages are there from the start, so that the hugetlb pool has no open reservation. The
  // private ones must be touched by their owners: what is touched before a fork is copied later.
  for (Region& region : regions_) {
    for (std::size_t unit = 0; unit < region.units() && region.process() == kAllProcesses; ++unit) {
      for (std::size_t slot = 0; slot < region.owners().size(); ++slot) {
        region.populate(unit, slot);
      }
    }
  }
  return {};
}

std::vector<Role> MigrateVerify::roles() {
  std::vector<Role> roles;
  add_writers_and_readers(roles);
  add_mover(roles, "mover-pages", 0, &Movers::move_some);
  add_mover(roles, "mover-process", 0, &Movers::migrate_one);
  add_binder(roles, 1);
  add_binder(roles, 2);
  for (Role& role : roles) {
    role.limit = kLimit;
  }
  return roles;
}

void MigrateVerify::add_writers_and_readers(std::vector<Role>& roles) {
  for (const Owner& owner : owners_) {
    Role role;
    role.name = fmt::format("writer-{}{}", owner.process, owner.id % 2 == 1 ? 'a' : 'b');
    role.process = owner.process;
    role.body = [this, owner](RoleContext& context) { write(context, owner); };
    roles.push_back(std::move(role));
  }
  for (int process = 0; process < kProcesses; ++process) {
    Role role;
    role.name = fmt::format("reader-{}", process);
    role.process = process;
    role.body = [this, process](RoleContext& context) { read(context, process); };
    roles.push_back(std::move(role));
  }
}

void MigrateVerify::add_mover(std::vector<Role>& roles, std::string name, int process,
                              Result<> (Movers::*move)(RoleContext&)) {
  const std::size_t number = mover_count_++;
  book_->finished.at(number).store(0);
  Role role;
  role.name = std::move(name);
  role.process = process;
  role.body = [this, number, process, move](RoleContext& context) {
    run_mover(context, number, process, [&] { return (movers_.get()->*move)(context); });
  };
  roles.push_back(std::move(role));
}

void MigrateVerify::add_binder(std::vector<Role>& roles, int process) {
  const std::size_t number = mover_count_++;
  book_->finished.at(number).store(0);
  Role role;
  role.name = fmt::format("mover-mbind-{}", process);
  role.process = process;
  role.body = [this, number, process](RoleContext& context) {
    run_mover(context, number, process, [&] { return movers_->bind_some(context, process); });
  };
  roles.push_back(std::move(role));
}

void MigrateVerify::enter(int process) {
  book_->pids.at(static_cast<std::size_t>(process)).store(getpid());
}

void MigrateVerify::fail(const Error& error) {
  book_->error.put(error.message);
}

void MigrateVerify::run_mover(RoleContext& context, std::size_t number, int process,
                              const std::function<Result<>()>& move) {
  enter(process);
  if (!provoked("none-migrated")) {
    if (Result<> moved = move(); !moved) {
      fail(moved.error());
    }
  }
  book_->finished.at(number).store(context.round());
  context.step();
}

// Movers do a bounded number of calls a round; the others last as long as they do.
bool MigrateVerify::movers_busy(const RoleContext& context) const {
  return !context.stopping() &&
         std::any_of(book_->finished.begin(), book_->finished.end(),
                     [&](const auto& finished) { return finished.load() < context.round(); });
}

bool MigrateVerify::is_rebuilder(const Owner& owner) const {
  const int id = book_->rebuild_region.load();
  if (id == kNoRegion) {
    return false;
  }
  const Region& region = regions_[static_cast<std::size_t>(id)];
  return owner.id == region.owners().front().id;
}

bool MigrateVerify::is_usable(const Region& region, const Owner& owner) const {
  return region.seen_by(owner.process) && region.slot_of(owner.id) < region.owners().size() &&
         (static_cast<int>(region.id()) != book_->rebuild_region.load() || is_rebuilder(owner));
}

Result<> MigrateVerify::rebuild(const Owner& owner) {
  Region& region = regions_[static_cast<std::size_t>(book_->rebuild_region.load())];
  const std::size_t unit = book_->rebuild_unit.load();
  if (Result<> done = region.discard_unit(unit); !done) {
    return done;
  }
  region.populate(unit, region.slot_of(owner.id));
  rebuilt_.add();
  return {};
}

// Between two bursts. Not to wait for anybody: a guest has more CPUs than the host, and a migration
// interrupts them all, so CPUs that spin hold it up for as long as the host lets others run.
void MigrateVerify::pause(RoleContext& context) {
  delay(std::chrono::microseconds(kPauseUs / 2 + context.random().below(kPauseUs)));
}

void MigrateVerify::write(RoleContext& context, const Owner& owner) {
  enter(owner.process);
  if (is_rebuilder(owner)) {
    if (Result<> done = rebuild(owner); !done) {
      fail(done.error());
      return;
    }
  }
  for (Region& region : regions_) {
    for (std::size_t unit = 0; unit < region.units() && is_usable(region, owner); ++unit) {
      region.populate(unit, region.slot_of(owner.id));
      if (context.round() == 1) {
        load_cell(region.at({unit, 0, 0}));  // maps shared pages, so that they can be named by pid
      }
    }
    context.step();
  }
  do {
    if (!write_burst(context, owner)) {
      return;
    }
    context.step();
    pause(context);
  } while (movers_busy(context));
}

// False: it found damage.
bool MigrateVerify::write_burst(RoleContext& context, const Owner& owner) {
  std::uint64_t written = 0;
  for (int i = 0; i < kBurst; ++i) {
    Region& region = regions_[context.random().below(regions_.size())];
    const CellAt cell{context.random().below(region.units()),
                      context.random().below(region.spots()), region.slot_of(owner.id)};
    if (!is_usable(region, owner)) {
      continue;
    }
    const CellReading own = read_own_cell(region.at(cell), region.place(cell), region.book(cell));
    if (own.damage) {
      book_->damage.put(
          damage_text(region, cell, own, fmt::format("its owner {}", owner.id), context.round()));
      return false;
    }
    publish_next(region.at(cell), region.place(cell), region.book(cell));
    ++written;
  }
  cells_written_.add(written);
  return true;
}

void MigrateVerify::read(RoleContext& context, int process) {
  enter(process);
  if (context.round() >= kSabotageFrom && process == 1) {
    sabotage(context, process);
  }
  do {
    if (!read_burst(context, process)) {
      return;
    }
    context.step();
    pause(context);
  } while (movers_busy(context));
}

// False: it found damage.
bool MigrateVerify::read_burst(RoleContext& context, int process) {
  std::uint64_t read = 0;
  for (int i = 0; i < kBurst; ++i) {
    const Region& region = regions_[context.random().below(regions_.size())];
    const CellAt cell{context.random().below(region.units()),
                      context.random().below(region.spots()),
                      context.random().below(region.owners().size())};
    const bool rebuilding = static_cast<int>(region.id()) == book_->rebuild_region.load();
    // Process 0 does not see the children's private memory: its own is empty there.
    const bool visible = region.process() == kAllProcesses || region.process() == process;
    if (rebuilding || !visible) {
      continue;
    }
    if (!region.is_populated(cell.unit, cell.spot)) {
      continue;  // as in check_content_of()
    }
    const CellReading seen = read_cell(region.at(cell), region.place(cell), region.book(cell));
    if (seen.damage) {
      book_->damage.put(
          damage_text(region, cell, seen, fmt::format("process {}", process), context.round()));
      return false;
    }
    ++read;
  }
  cells_read_.add(read);
  return true;
}

void MigrateVerify::sabotage(RoleContext& context, int process) {
  if (!provoked("lost-write") && !provoked("foreign") && !provoked("zero")) {
    return;
  }
  for (int tries = 0; tries < 100; ++tries) {
    Region& region = regions_[context.random().below(regions_.size())];
    const bool rebuilding = static_cast<int>(region.id()) == book_->rebuild_region.load();
    if (!region.seen_by(process) || rebuilding ||
        (provoked("zero") && region.backing() == Backing::kHugetlb2m)) {
      continue;
    }
    const std::size_t unit = 1 + context.random().below(region.units() - 1);
    const std::size_t bytes = unit_bytes(region.backing());
    const CellAt cell{unit, 0, 0};
    if (provoked("lost-write")) {
      const std::uint64_t generation = region.book(cell).published.load();
      store_cell(region.at(cell), make_cell(region.place(cell), generation - 1));
    } else if (provoked("foreign")) {
      std::memcpy(region.mapping().data() + unit * bytes, region.mapping().data(), bytes);
    } else if (Result<> gone = region.mapping().discard(unit * bytes, bytes); !gone) {
      fail(gone.error());
    }
    return;
  }
}

Result<> MigrateVerify::verify_work() {
  if (const std::optional<std::string> error = book_->error.take()) {
    return broken(*error);
  }
  if (Result<> counted = count_kernel_events(); !counted) {
    return counted;
  }
  const std::uint64_t failed = kernel_events_.at("thp_migration_fail").value();
  if (failed > movers_->thp_refusals()) {
    // No finding: compaction and migrate_pages fail as well, and do not say on which pages.
    env_->note(fmt::format("thp_migration_fail grew by {}; move_pages and mbind were told of {}",
                           failed, movers_->thp_refusals()));
  }
  if (movers_->moved() == 0 || kernel_events_.at("pgmigrate_success").value() == 0) {
    return broken(fmt::format(
        "nothing migrated: the movers saw {} migrations, pgmigrate_success grew by {}; is there "
        "room on both nodes?",
        movers_->moved(), kernel_events_.at("pgmigrate_success").value()));
  }
  for (const Region& region : regions_) {
    if (movers_->moved(region.backing()) == 0) {
      return broken(fmt::format("no {} memory migrated; the counters 'refused' say why",
                                to_string(region.backing())));
    }
  }
  for (const Mover mover : kAllMovers) {
    if (movers_->moved(mover) == 0) {
      return broken(
          fmt::format("{} migrated nothing; the counters 'refused' say why", to_string(mover)));
    }
  }
  return {};
}

REGISTER_WORKLOAD(MigrateVerify);

}  // namespace mmquake
