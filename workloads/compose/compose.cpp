// SPDX-License-Identifier: GPL-2.0-or-later
//
// A composition: memory of one backing, which is moved by one means and disturbed by up to two
// others while threads write and read it and something watches over it. Which, a campaign draws
// (guest/protocol/composition.h has the space and its rules); this runs it. The guarantee is the
// one that every program relies on, whatever happens to its pages: what was written last is there,
// and what was given back is zero.
//
//   process 0                               process 1
//   writer-0, writer-1                      writer-2 (shared memory)
//   mover, disturber, disturber2 (one of either process)
//   watcher
//
// Content. Every eighth page has a cell of one writer's (area.h), which he alone changes; writers
// read their own cells before they write, and others' at random. What takes pages away with their
// content says so in the block's mark, and from the order of marks, writes and looks follows what
// may be seen (cell_ledger.h). So emptying needs no lock and races freely, and still a page that
// comes back is seen. Between the rounds everything is read once more.
//
// Placement, liveness, counts: as in migrate-verify, whose page audit and accounting are used.
//
// `provoke` breaks the rules on purpose, to prove that the oracle sees it.
#include "workloads/compose/compose.h"

#include <fmt/core.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest/memory/kernel_quirks.h"
#include "guest/memory/text_file.h"
#include "guest/race/overlap_tuner.h"
#include "guest/race/placement.h"
#include "guest/runner/evidence.h"

namespace mmquake {
namespace {

constexpr std::size_t kBookBytes = 4UL * 1024 * 1024;
constexpr std::uint64_t kHugetlbPerNode = 12;
constexpr int kBurst = 24;  // cells between two pauses
constexpr std::array<std::uint64_t, 4> kTempos{200, 2000, 10000, 30000};  // longest pause, us
constexpr std::int64_t kRoundNs = 120'000'000;  // a deed begins no act after this time
constexpr std::chrono::milliseconds kLimit{8000};
// Who touches a page of 1 GiB waits until it is copied: see docs/compose.md.
constexpr std::chrono::milliseconds kGiganticLimit{30000};
constexpr const char* kKsmRun = "/sys/kernel/mm/ksm/run";
constexpr std::uint64_t kSabotageFrom = 3;

WorkloadInfo describe_compose() {
  WorkloadInfo info;
  info.name = kComposeWorkload;
  info.summary = "memory of one kind, moved, disturbed and watched: drawn at random by a soak";
  info.exercises = {"migration", "zap", "split", "fork", "reclaim", "userfaultfd", "pinning"};
  info.needs.numa_nodes = 2;
  info.needs.cpus = 2;
  info.needs.free_mib_per_node = 96;
  info.needs.files = {"/proc/self/pagemap", "/proc/kpageflags", "/proc/zoneinfo"};
  for (const Slot slot : kAllSlots) {
    std::vector<std::string> words;
    if (slot != Slot::kBacking) {
      words.emplace_back(kNoWord);
    }
    for (const Ingredient& one : ingredients(slot)) {
      words.emplace_back(one.name);
    }
    info.params.push_back(choice_param(std::string(to_string(slot)), std::move(words),
                                       "one of the composition's parts: mmquake compose --space"));
  }
  info.params.push_back(known_bugs_param("docs/compose.md"));
  info.params.push_back(
      choice_param("provoke",
                   {"none", "lost-write", "foreign", "back-from-zap", "unreported", "unanswered",
                    "continue-other", "lost-poke", "lost-resident", "kept-pages", "kept-hugepage",
                    "kept-locked"},
                   "breaks something on purpose, to test the oracle"));
  return info;
}

}  // namespace

Compose::~Compose() {
  if (merges_) {
    (void)write_text(kKsmRun, "0");  // the machine may run another trial
  }
}

WorkloadInfo Compose::info() {
  return describe_compose();
}

Result<> Compose::set_up(Environment& env) {
  std::map<std::string, std::string> words;
  for (const Slot slot : kAllSlots) {
    words.emplace(to_string(slot), env.param(std::string(to_string(slot))));
  }
  world_ = std::make_unique<ComposeWorld>();
  world_->composition = Composition::from_params(words);
  if (const std::optional<std::string> wrong = objection(world_->composition)) {
    return usage(*wrong);
  }
  if (Result<> may = may_run(env); !may) {
    return may;
  }
  provoke_ = env.param("provoke");
  Result<MemoryLevel> level = read_memory_level();
  if (!level) {
    return tl::make_unexpected(level.error());
  }
  level_before_ = std::move(*level);
  world_->env = &env;
  world_->nodes = env.memory_nodes();
  world_->cpus = env.cpus();
  Result<SharedMemory> memory = SharedMemory::create(kBookBytes);
  if (!memory) {
    return tl::make_unexpected(memory.error());
  }
  memory_ = std::move(*memory);
  Result<std::span<ComposeBook>> book = memory_.take<ComposeBook>(1);
  if (!book) {
    return tl::make_unexpected(book.error());
  }
  world_->book = book->data();
  world_->book->pids[0].store(getpid());
  if (Result<> prepared = prepare_kernel(); !prepared) {
    return prepared;
  }
  Result<Area> area = Area::create(world_->composition, memory_);
  if (!area) {
    return tl::make_unexpected(area.error());
  }
  world_->area = std::move(*area);
  if (Result<> made = make_parts(); !made) {
    return made;
  }
  return take_stock();
}

// A device that faults in what lost its shared page table, and who takes it away and waits.
Result<> Compose::may_run(const Environment& env) const {
  const Composition& composition = world_->composition;
  const bool deadlocks = composition[Slot::kBacking] == "hugetlb-shared-pmd" &&
                         composition[Slot::kWatcher] == "dmirror" &&
                         composition.has(Slot::kDisturber);
  if (deadlocks && avoids_known_bugs(env) && hmm_deadlocks_in_hugetlb_holes(kernel_release())) {
    return skipped(
        "this kernel is known to deadlock here (docs/cases/hmm-hugetlb-deadlock.md); "
        "known-bugs=show runs it");
  }
  return {};
}

// What the backing needs of the kernel.
Result<> Compose::prepare_kernel() {
  const Traits traits = world_->composition.traits();
  if ((traits & kAnon) != 0 && avoids_known_bugs(*world_->env)) {
    if (Result<> done = underused_.set(); !done) {
      return done;
    }
  }
  if ((traits & kHugetlb) != 0) {
    // One page, and on each node that it may go to one that is free.
    Result<HugetlbReservation> pool =
        (traits & kGigantic) != 0
            ? HugetlbReservation::reserve(1, world_->nodes, "", kGiganticPage / 1024)
            : HugetlbReservation::reserve(kHugetlbPerNode, world_->nodes);
    if (!pool) {
      return tl::make_unexpected(pool.error());
    }
    hugetlb_ = std::move(*pool);
  }
  if ((traits & kShared) != 0 && (traits & kThp) != 0) {
    return shmem_.set();
  }
  if ((traits & kSwap) != 0) {
    return start_swap();
  }
  if ((traits & kKsm) != 0) {
    (void)write_text("/sys/kernel/mm/ksm/pages_to_scan", "4000");
    (void)write_text("/sys/kernel/mm/ksm/sleep_millisecs", "10");
    if (!write_text(kKsmRun, "1")) {
      return skipped(fmt::format("{}: the kernel needs CONFIG_KSM", kKsmRun));
    }
    merges_ = true;
  }
  return {};
}

// Kernels of distributions have zram as a module, if at all, and get a plain disk of memory.
Result<> Compose::start_swap() {
  Result<> started = swap_.emplace().start_on_zram();
  if (!started && started.error().kind == ErrorKind::kSkipped) {
    started = swap_.emplace().start();
  }
  world_->swap_device = swap_->device();
  swap_keeps_memory_ = swap_->keeps_memory();
  return started;
}

Result<> Compose::make_parts() {
  const Composition& composition = world_->composition;
  for (const Slot slot : {Slot::kMover, Slot::kDisturber, Slot::kDisturber2}) {
    if (!composition.has(slot)) {
      continue;
    }
    Part part;
    part.name = to_string(slot);
    part.deed =
        slot == Slot::kMover ? make_mover(composition[slot]) : make_disturber(composition[slot]);
    if (part.deed == nullptr) {
      return broken(fmt::format("the guest has no {} '{}'", part.name, composition[slot]));
    }
    const std::string row = "deeds/" + composition[slot];
    part.done = world_->env->counter(row + "/done");
    part.refused = world_->env->counter(row + "/refused");
    if (Result<> ready = part.deed->prepare(*world_); !ready) {
      return context(composition[slot], ready.error());
    }
    parts_.push_back(std::move(part));
  }
  world_->deeds = parts_.size();
  users_ = parts_.size() + world_->area.writers();
  if (composition.has(Slot::kWatcher)) {
    watcher_ = make_watcher(composition[Slot::kWatcher]);
    if (watcher_ == nullptr) {
      return broken(fmt::format("the guest has no watcher '{}'", composition[Slot::kWatcher]));
    }
    if (Result<> ready = watcher_->prepare(*world_); !ready) {
      return context(composition[Slot::kWatcher], ready.error());
    }
  }
  return {};
}

std::vector<Role> Compose::roles() {
  std::vector<Role> roles;
  for (std::size_t writer = 0; writer < world_->area.writers(); ++writer) {
    add_writer(roles, writer);
  }
  for (Part& part : parts_) {
    Role role;
    role.name = part.name;
    role.process = part.deed->process();
    role.body = [this, &part](RoleContext& context) {
      disturb(context, part);
      world_->book->deeds_done.fetch_add(1);
      world_->book->users_done.fetch_add(1);
    };
    roles.push_back(std::move(role));
  }
  if (watcher_ != nullptr) {
    Role role;
    role.name = "watcher";
    role.body = [this](RoleContext& context) {
      const auto users_left = [this] { return world_->book->users_done.load() < users_; };
      if (Result<> watched = watcher_->watch(*world_, context, users_left); !watched) {
        fail(watched.error());
      }
    };
    roles.push_back(std::move(role));
  }
  for (Role& role : roles) {
    role.limit = world_->area.is_one_page() ? kGiganticLimit : kLimit;
  }
  return roles;
}

void Compose::add_writer(std::vector<Role>& roles, std::size_t writer) {
  Role role;
  role.name = fmt::format("writer-{}", writer);
  role.process = writer == kWriters - 1 ? 1 : 0;
  role.body = [this, writer](RoleContext& context) {
    if (writer < world_->book->threads.size()) {
      world_->book->threads[writer].store(gettid());
    }
    if (writer == kWriters - 1) {
      world_->book->pids[1].store(getpid());
    }
    write(context, writer);
    world_->book->users_done.fetch_add(1);
  };
  roles.push_back(std::move(role));
}

bool Compose::deeds_left(const RoleContext& context) const {
  return !context.stopping() && world_->book->deeds_done.load() < world_->deeds;
}

void Compose::write(RoleContext& context, std::size_t writer) {
  std::uint64_t node = UINT64_MAX;
  if (writer == 0) {
    sabotage(context);
  }
  do {
    if (world_->composition[Slot::kMover] == "numa-balancing") {
      follow_node(node);
    }
    burst(context, writer, context.random().below(kBlocks));
    context.step();
    delay(std::chrono::microseconds(100 + context.random().below(900)));
  } while (deeds_left(context));
}

// NUMA balancing moves pages to who uses them, so the users have to move.
void Compose::follow_node(std::uint64_t& node) const {
  const std::uint64_t wanted = world_->book->writers_node.load();
  if (wanted == node) {
    return;
  }
  Result<std::string> list =
      read_text(fmt::format("/sys/devices/system/node/node{}/cpulist", wanted));
  const std::vector<int> cpus = list ? parse_cpu_list(*list) : std::vector<int>();
  if (!cpus.empty()) {
    (void)pin_to_cpu(cpus.front());  // a node without CPUs: stay
  }
  node = wanted;
}

bool Compose::burst(RoleContext& context, std::size_t writer, std::size_t block) {
  const Inside inside(world_->area.block(block).door);
  if (!inside) {
    return false;
  }
  for (int i = 0; i < kBurst && !context.stopping(); ++i) {
    touch(context, writer, block, context.random().below(kCellsPerBlock));
  }
  if (world_->composition[Slot::kBacking] == "anon-thp-pte") {
    // Two calls that leave everything as it was, but for the PMD.
    void* page = world_->area.page_at(block, 1);
    if (mprotect(page, kSmallPage, PROT_READ) == 0) {
      (void)mprotect(page, kSmallPage, PROT_READ | PROT_WRITE);
    }
  }
  return true;
}

// Reads any cell; writes it as well if it is the writer's own.
void Compose::touch(RoleContext& context, std::size_t writer, std::size_t block, std::size_t cell) {
  const Area& area = world_->area;
  CellBook& book = area.book(block, cell);
  BlockBook& of_block = area.block(block);
  std::byte* at = area.at(block, cell);
  const bool own = area.writer_of(cell) == writer;
  // A read first, but seldom where the page is gone: the page of zeros would come, and a huge one
  // that is written to falls to pieces.
  const bool gone = EmptyState(book.seen_after.load()).emptied() != of_block.mark.state().emptied();
  if (book.generation.intended.load() != 0 && context.random().chance(gone ? 0.1 : 0.7)) {
    const CellLook look = look_at_cell(at, book, of_block.mark);
    cells_checked_.add();
    if (auto damage =
            area.judge(block, cell, look, own ? "its writer" : "another writer", context.round())) {
      world_->book->damage.put(*damage);
    }
  }
  const std::uint64_t next = area.next_generation(book, context.round());
  if (!own || next == book.generation.intended.load()) {
    return;
  }
  const bool watched = watcher_ != nullptr && writer != kWriters - 1;
  const std::uint64_t before = watched ? watcher_->before_write(of_block) : 0;
  write_cell(at, area.place(block, cell), book, of_block.mark, next);
  cells_written_.add();
  if (watched) {
    if (auto unreported = watcher_->wrote(area, block, cell, before)) {
      world_->book->damage.put(*unreported);
    }
  }
}

// Acts until the round's time is over; at least once, so that no part is ever left out. Each round
// has a tempo of its own: who empties a block all the time leaves nothing to move.
void Compose::disturb(RoleContext& context, Part& part) {
  if (part.deed->process() == 1) {
    world_->book->pids[1].store(getpid());
  }
  const std::int64_t begin = now_ns();
  const std::uint64_t longest_us = kTempos[context.random().below(kTempos.size())];
  do {
    delay(std::chrono::microseconds(context.random().below(longest_us)));
    const std::uint64_t others = world_->book->acting.fetch_add(1);
    overlaps_.add(others > 0 ? 1 : 0);
    Result<Act> act = part.deed->act(*world_, context);
    world_->book->acting.fetch_sub(1);
    if (!act) {
      fail(act.error());
      return;
    }
    (*act == Act::kDone ? part.done : part.refused).add();
    context.step();
  } while (!context.stopping() && now_ns() - begin < kRoundNs);
}

// What a broken kernel would do.
void Compose::sabotage(RoleContext& context) {
  if (provoke_ == "none" || context.round() < kSabotageFrom) {
    return;
  }
  const Area& area = world_->area;
  for (std::size_t cell = 0; cell < kCellsPerBlock; ++cell) {
    CellBook& book = area.book(0, cell);
    const std::uint64_t last = book.generation.published.load();
    if (area.writer_of(cell) != 0 || last < 2) {
      continue;
    }
    std::byte* at = area.at(0, cell);
    if (provoke_ == "lost-write") {
      store_cell(at, make_cell(area.place(0, cell), last - 1));
    } else if (provoke_ == "foreign") {
      store_cell(at, make_cell({7, 7, 7}, last));
    } else if (provoke_ == "back-from-zap") {
      const CellImage old = load_cell(at);
      if (area.block(0).mark.begin()) {
        area.block(0).mark.end(EmptyMark::How::kEmptied);
        store_cell(at, old);
      }
    }
    return;
  }
}

std::optional<FindingRecord> Compose::judge(const Stuck& stuck) {
  if (world_->book->error.is_set()) {
    return std::nullopt;  // who waits for a watcher that failed is no hang of the kernel's
  }
  std::optional<FindingRecord> finding = Workload::judge(stuck);
  const std::optional<std::pair<int, int>> other =
      finding ? waits_for(stuck.role, finding->title) : std::nullopt;
  if (!other) {
    return finding;
  }
  const TaskEvidence seen = take_evidence(other->first, other->second);
  const std::string function = blamed_function(seen.stack, seen.wchan);
  if (function.empty()) {
    return std::nullopt;
  }
  finding->title = "hang in " + function;
  finding->evidence["stack of whom it waits for"] = seen.stack;
  return finding;
}

// Process and thread that have to go on first: the child that was forked; the writer whom the
// debugger wants to stop, which it can when that one leaves the kernel; the debugger himself.
std::optional<std::pair<int, int>> Compose::waits_for(std::string_view role,
                                                      std::string_view title) const {
  const ComposeBook& book = *world_->book;
  const int tracee = book.tracee.load();
  const int child = book.child.load();
  if (title == "hang in do_wait" && word_of(role) == "ptrace" && tracee != 0) {
    return std::pair(book.pids[0].load(), tracee);
  }
  if (title == "hang in do_wait" && word_of(role) == "fork-cow" && child != 0) {
    return std::pair(child, child);
  }
  // The compiler may have put the one into the other.
  if ((title == "hang in ptrace_stop" || title == "hang in do_jobctl_trap") && tracee != 0) {
    return std::pair(book.pids[1].load(), book.debugger.load());
  }
  return std::nullopt;
}

// A part's role is called as its slot is.
std::string Compose::word_of(std::string_view role) const {
  for (const Slot slot : kAllSlots) {
    if (to_string(slot) == role) {
      return world_->composition[slot];
    }
  }
  return "";
}

bool Compose::rescue(const Stuck& /*stuck*/) {
  return watcher_ != nullptr && watcher_->rescue(*world_);
}

// A part that the kernel refused each time makes a pass say less than its name.
Result<> Compose::verify_work() {
  if (const std::optional<std::string> error = world_->book->error.take()) {
    return broken(*error);
  }
  if (cells_checked_.value() == 0) {
    return broken("no cell was ever read");
  }
  const std::string& mover = world_->composition[Slot::kMover];
  if (mover != kNoWord && migrations_.value() == 0) {
    return skipped(fmt::format("{} migrated nothing on {}: pgmigrate_success did not grow", mover,
                               world_->composition[Slot::kBacking]));
  }
  if (demotions_ && demotions_->value() == 0) {
    return skipped(fmt::format("{} moved nothing down on {}: no pgdemote count grew", mover,
                               world_->composition[Slot::kBacking]));
  }
  for (const Part& part : parts_) {
    // A call that moved some pages and not all counts as refused.
    const bool moved = part.name == to_string(Slot::kMover) && migrations_.value() > 0;
    if (part.done.value() == 0 && !moved) {
      return skipped(fmt::format("{} was refused each time ({} times) on {}", word_of(part.name),
                                 part.refused.value(), world_->composition[Slot::kBacking]));
    }
  }
  return {};
}

REGISTER_WORKLOAD(Compose);

}  // namespace mmquake
