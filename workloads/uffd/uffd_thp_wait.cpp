// SPDX-License-Identifier: GPL-2.0-or-later
//
// A faulter waits in handle_userfault() for user space while a migrator moves the page that
// resolves its fault. Whoever finds the page mapped when it queues must not sleep, and a
// migration entry is a mapped page: it comes back without anyone waking userfaultfd's waiters.
//
// From 84c3fc4e9c56 ("mm: thp: check pmd migration entry in common path", 4.14) until
// a365ac09d334 ("mm, userfaultfd, THP: avoid waiting when PMD under THP migration") such a
// faulter slept for ever, with its page resident.
//
// One round, with the order that makes it possible:
//
//            shmem-missing                           anon-wp
//   filler   punch a hole                            fresh THP, write-protect it
//   faulter  read: no page, into handle_userfault    write: uffd_wp, into handle_userfault
//   filler   write through an unregistered alias     un-protect with DONTWAKE
//            touch the registered area (maps PMD)    write once (makes the PMD writable)
//            UFFDIO_WAKE                             UFFDIO_WAKE
//   faulter  only now gets to the wait queue (the widener holds it up before)
//   migrator moves the THP between two nodes all the while
//   monitor  reads the events, once each, and never wakes anyone
//
// Two more bring the page by userfaultfd itself, and stamp every page of it:
//
//            anon-move (6.8)                         anon-collapse (6.1)
//   filler   no page; a fresh THP elsewhere          no page; a fresh THP elsewhere
//   faulter  read: no page, into handle_userfault    the same
//   filler   UFFDIO_MOVE, whole or in two parts      UFFDIO_COPY into small pages, MADV_COLLAPSE
//            UFFDIO_WAKE                             UFFDIO_WAKE
//   migrator moves the source and the target         moves some of the pages
//
// What is moved may be a migration entry just then. Every page must arrive with its bytes, once.
// Until aba6faec0103 ("userfaultfd: fix a crash in UFFDIO_MOVE when PMD is a migration
// entry", 6.17) a partial move took such an entry for a page.
//
// The oracle says "hang" only if nothing but a WAKE is missing. What looks like it and is not,
// each made to happen by the parameter `provoke`:
//   no-touch     WAKE without touching the registered area: its PMD is none, waiting is right.
//                Told apart by the page map (not present).
//   no-wake      No WAKE at all: waiting is right although the page may be resident. Told apart
//                by the order of events.
//   wp-no-write  6.1 clears uffd_wp and leaves the PMD read-only, so waiting is right until
//                someone has written. Told apart by the order of events.
//   late-fill    The alias fill is not atomic: who reads between the page's birth and the filler's
//                store sees 0. Told apart by accepting 0 as well as this round's value.
//   hurry        The runner ends each round before the faulter is at its fault. The page has to
//                come nevertheless.
// And `scribble` changes a page that came, which must be reported.
#include "workloads/uffd/uffd_thp_wait.h"

#include <fmt/core.h>
#include <poll.h>
#include <sched.h>

#include <algorithm>

#include "guest/memory/kernel_counters.h"
#include "guest/race/placement.h"

namespace mmquake {
namespace {

constexpr const char* kThpMoved = "thp_migration_success";
// To show progress, the kernel's count of moved huge pages is read now and then.
constexpr std::uint64_t kRoundsPerCount = 16;
constexpr std::uint64_t kMaxPauseUs = 3000;
constexpr int kLookAgainMs = 5;  // nobody wakes a monitor whose round has ended

}  // namespace

WorkloadInfo UffdThpWait::info() {
  WorkloadInfo info;
  info.name = "uffd-thp-wait";
  info.summary = "userfaultfd waiters while the huge page that resolves their fault migrates";
  info.exercises = {"userfaultfd",      "UFFDIO_WRITEPROTECT",    "UFFDIO_WAKE",
                    "UFFDIO_MOVE",      "MADV_COLLAPSE",          "move_pages",
                    "handle_userfault", "set_pmd_migration_entry"};
  info.needs.numa_nodes = 2;
  info.needs.cpus = 2;
  info.needs.free_mib_per_node = 64;
  info.needs.files = {"/proc/self/pagemap"};
  info.needs.userfaultfd = true;
  info.needs.thp = true;
  ParamSpec variant;
  variant.name = "variant";
  variant.type = ParamSpec::Type::kChoice;
  variant.default_value = "shmem-missing";
  variant.choices = {"shmem-missing", "anon-wp", "anon-move", "anon-collapse"};
  variant.help =
      "shmem registered MISSING, anonymous memory registered WP, or registered MISSING and brought "
      "by UFFDIO_MOVE, or by UFFDIO_COPY and MADV_COLLAPSE";
  ParamSpec provoke;
  provoke.name = "provoke";
  provoke.type = ParamSpec::Type::kChoice;
  provoke.default_value = "none";
  provoke.choices = {"none",      "no-touch", "no-wake", "wp-no-write",
                     "late-fill", "hurry",    "scribble"};
  provoke.help =
      "makes a false positive happen, to test the oracle: it must not report it; scribble: it must";
  ParamSpec delay;
  delay.name = "fill-delay-us";
  delay.default_value = "500";
  delay.max = 100000;
  delay.help = "the filler waits up to so long after the faulter went to its fault";
  info.params = {variant, provoke, delay};
  return info;
}

Result<> UffdThpWait::set_up(Environment& env) {
  env_ = &env;
  variant_ = env.param("variant");
  provoke_ = env.param("provoke");
  max_fill_delay_us_ = static_cast<std::uint64_t>(env.param_int("fill-delay-us"));
  const bool exists = provoked("none") || provoked("no-wake") || provoked("hurry") ||
                      (provoked("wp-no-write") && is_wp()) ||
                      (provoked("scribble") && brings_all()) ||
                      ((provoked("no-touch") || provoked("late-fill")) && is_shmem());
  if (!exists) {
    return usage(
        fmt::format("parameter provoke: '{}' does not exist for variant {}", provoke_, variant_));
  }
  if (env.memory_nodes().size() < nodes_.size()) {
    return skipped("uffd-thp-wait needs two nodes with memory");
  }
  std::copy_n(env.memory_nodes().begin(), nodes_.size(), nodes_.begin());
  moved_ = env.counter("moves/moved");
  busy_ = env.counter("moves/busy");
  absent_ = env.counter("moves/absent");
  unmoved_ = env.counter("moves/failed");
  events_ = env.counter("events/read");
  late_events_ = env.counter("events/after-wake");
  repeated_events_ = env.counter("events/repeated");
  zero_reads_ = env.counter("reads/before-fill");
  innocent_ = env.counter("waits/innocent");
  if (is_move()) {
    brought_ = env.counter("brought/moved");
    met_ = env.counter("brought/try-again");
  }
  if (is_collapse()) {
    collapsed_ = env.counter("collapse/done");
    not_collapsed_ = env.counter("collapse/refused");
  }
  if (brings_all()) {
    overlaps_ = env.counter("overlaps");
  }
  thp_moved_ = env.counter("thp_migrations");
  Result<KernelCounters> vmstat = read_vmstat();
  if (!vmstat) {
    return tl::make_unexpected(vmstat.error());
  }
  if (!vmstat->contains(kThpMoved)) {
    return skipped(
        fmt::format("/proc/vmstat has no {}: this kernel does not migrate huge pages", kThpMoved));
  }
  thp_moved_before_ = value_of(*vmstat, kThpMoved);
  return map();
}

std::vector<Role> UffdThpWait::roles() {
  std::vector<Role> roles(4);
  roles[0].name = "faulter";
  roles[0].body = [this](RoleContext& context) { fault(context); };
  // Far above a round's few ms. A faulter that is merely late still has the grace.
  roles[0].limit = std::chrono::milliseconds(provoked("hurry") ? 1 : brings_all() ? 2000 : 250);
  roles[1].name = "filler";
  roles[1].body = [this](RoleContext& context) { fill(context); };
  roles[2].name = "migrator";
  roles[2].body = [this](RoleContext& context) { migrate(context); };
  roles[3].name = "monitor";
  roles[3].body = [this](RoleContext& context) { monitor(context); };
  return roles;
}

void UffdThpWait::fail(Error error) {
  const std::lock_guard lock(error_mutex_);
  if (!error_) {
    error_ = std::move(error);
  }
  failed_ = true;
}

bool UffdThpWait::await(RoundSignal& signal, RoleContext& context) {
  return signal.await(context) && !failed_;
}

void UffdThpWait::fault(RoleContext& context) {
  if (!await(prepared_, context)) {
    return;
  }
  faulting_.announce(context.round());
  PageWords& page = words(registered_);
  if (is_wp()) {
    page.faulter.store(context.round() + 1);
  } else {
    seen_ = page.filler.load();
  }
  finished_.announce(context.round());
  context.step();
}

void UffdThpWait::fill(RoleContext& context) {
  Result<> done = prepare(context);
  if (!done) {
    fail(done.error());
  }
  prepared_.announce(context.round());
  // If the round is to end before that, the faulter may still be on its way to its fault, and
  // nobody else would bring the page.
  if (!await(faulting_, context) && failed_) {
    return;
  }
  const auto until = RoundSignal::Clock::now() +
                     std::chrono::microseconds(context.random().below(max_fill_delay_us_ + 1));
  while (RoundSignal::Clock::now() < until) {
    sched_yield();
  }
  done = resolve(context);
  if (done && !provoked("no-wake")) {
    done = uffd_->wake(registered_.address(), kHugePage);
    woken_.announce(context.round());
  }
  if (!done) {
    fail(done.error());
  }
  context.step();
}

bool UffdThpWait::count_moves(const MoveResult& moved, int target) {
  bool all = true;
  for (const int status : moved.status) {
    // A whole call that fails reports no status, so it counts as failed, too.
    if (status == target) {
      moved_.add();
      continue;
    }
    all = false;
    if (status == -EBUSY || status == -EAGAIN) {
      busy_.add();
    } else if (status == -ENOENT || status == -EFAULT) {
      absent_.add();
    } else {
      unmoved_.add();
    }
  }
  return all;
}

void UffdThpWait::migrate(RoleContext& context) {
  if (!await(prepared_, context)) {
    return;
  }
  const std::vector<std::uintptr_t> pages = targets();
  for (std::size_t turn = 0; !finished_.announced(context.round()) && !context.stopping(); ++turn) {
    const int target = nodes_[turn % nodes_.size()];
    ++migrations_;
    const MoveResult moved = move_pages_to(0, pages, target);
    ++migrations_;
    context.step();
    if (!count_moves(moved, target)) {
      sched_yield();
    }
    if (brings_all()) {
      // UFFDIO_MOVE tries again inside of the kernel while a page is on its way, and MADV_COLLAPSE
      // gives up: without a pause neither gets anywhere.
      delay(std::chrono::microseconds(context.random().below(kMaxPauseUs)));
    }
  }
}

void UffdThpWait::monitor(RoleContext& context) {
  pollfd ready{};
  ready.fd = uffd_->fd();
  ready.events = POLLIN;
  bool seen = false;
  while (!finished_.announced(context.round()) && !context.stopping()) {
    if (poll(&ready, 1, kLookAgainMs) <= 0) {
      continue;
    }
    Result<std::vector<FaultEvent>> events = uffd_->read_events();
    if (!events) {
      fail(events.error());
      return;
    }
    if (events->empty()) {
      continue;
    }
    events_.add(events->size());
    // What real monitors do: an address that was dealt with is dealt with, no second WAKE.
    if (seen) {
      repeated_events_.add(events->size());
      continue;
    }
    seen = true;
    event_.announce(context.round());
    if (woken_.announced(context.round())) {
      late_events_.add();
    }
    context.step();
  }
}

std::optional<FindingRecord> UffdThpWait::check() {
  const std::uint64_t round = round_;
  if (round % kRoundsPerCount == 0) {
    if (Result<std::uint64_t> thp = thp_moved(); !thp) {
      fail(thp.error());
    }
  }
  if (failed_ || !finished_.announced(round) || !woken_.announced(round)) {
    return std::nullopt;
  }
  if (std::optional<FindingRecord> finding = check_words(round + 1); finding || !brings_all()) {
    return finding;
  }
  if (!resolved_.announced(round)) {
    return std::nullopt;  // the runner stopped the round before all pages had come
  }
  Result<std::optional<FindingRecord>> all = check_all_pages(round + 1);
  if (!all) {
    fail(all.error());
    return std::nullopt;
  }
  return std::move(*all);
}

Result<std::uint64_t> UffdThpWait::thp_moved() {
  Result<KernelCounters> vmstat = read_vmstat();
  if (!vmstat) {
    return tl::make_unexpected(vmstat.error());
  }
  const std::uint64_t moved = value_of(*vmstat, kThpMoved) - thp_moved_before_;
  thp_moved_.add(moved - std::min(moved, thp_moved_.value()));
  return moved;
}

Result<> UffdThpWait::verify_work() {
  if (error_) {
    return tl::make_unexpected(*error_);
  }
  Result<std::uint64_t> thp = thp_moved();
  if (!thp) {
    return tl::make_unexpected(thp.error());
  }
  if (brings_all() && overlaps_.value() == 0) {
    return broken("no page came while the migrator was at work");
  }
  if (is_collapse() && collapsed_.value() == 0) {
    return broken(
        fmt::format("MADV_COLLAPSE never made a huge page in {} attempts", not_collapsed_.value()));
  }
  if (*thp == 0 || moved_.value() == 0) {
    return broken(fmt::format(
        "no huge page was migrated: {} +{}; moved {}, busy {}, absent {}, "
        "failed {}; is there room on both nodes?",
        kThpMoved, *thp, moved_.value(), busy_.value(), absent_.value(), unmoved_.value()));
  }
  return {};
}

REGISTER_WORKLOAD(UffdThpWait);

}  // namespace mmquake
