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
#include <fmt/core.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <optional>

#include "guest/memory/kernel_counters.h"
#include "guest/memory/mapping.h"
#include "guest/memory/numa.h"
#include "guest/memory/page_map.h"
#include "guest/memory/userfaultfd.h"
#include "guest/runner/workload.h"
#include "workloads/uffd/round_signal.h"
#include "workloads/uffd/shmem_always_huge.h"

namespace mmquake {
namespace {

constexpr const char* kThpMoved = "thp_migration_success";
// To show progress, the kernel's count of moved huge pages is read now and then.
constexpr std::uint64_t kRoundsPerCount = 16;
constexpr std::size_t kPages = kHugePage / kSmallPage;
constexpr std::chrono::seconds kReleaseTime{2};
constexpr int kLookAgainMs = 5;  // nobody wakes a monitor whose round has ended

// The words of a page that the roles use. Both lie in the faulter's 4K page: when a split THP is
// written, only the page that was written becomes writable.
struct PageWords {
  std::atomic<std::uint64_t> faulter;
  std::atomic<std::uint64_t> filler;
};

class UffdThpWait final : public Workload {
 public:
  static WorkloadInfo info();
  Result<> set_up(Environment& env) override;
  std::vector<Role> roles() override;
  std::optional<FindingRecord> check() override;
  std::optional<FindingRecord> judge(const Stuck& stuck) override;
  bool rescue(const Stuck& stuck) override;
  Result<> verify_work() override;

 private:
  Result<> map();
  Result<> prepare(RoleContext& context);
  void fault(RoleContext& context);
  void fill(RoleContext& context);
  Result<> resolve_missing(std::uint64_t round);
  Result<> resolve_write_protected(std::uint64_t round);
  void migrate(RoleContext& context);
  void count_move(const MoveResult& moved, int target);
  void monitor(RoleContext& context);

  bool is_wp() const { return variant_ == "anon-wp"; }
  bool provoked(std::string_view what) const { return provoke_ == what; }
  PageWords& words(const Mapping& in) const {
    return *reinterpret_cast<PageWords*>(in.data() + page_.load() * kSmallPage);
  }
  std::uintptr_t fault_address() const { return registered_.address() + page_.load() * kSmallPage; }
  std::optional<std::string> why_innocent(PageEntry entry) const;
  // Wakes the faulter and waits until its round is over.
  std::optional<std::chrono::microseconds> release();
  std::string order_of_events() const;
  // What /proc/vmstat has counted since set_up(); kept in the counter as well.
  Result<std::uint64_t> thp_moved();
  void fail(Error error);
  bool await(RoundSignal& signal, RoleContext& context);

  Environment* env_ = nullptr;
  std::string variant_, provoke_;
  std::uint64_t max_fill_delay_us_ = 0;
  std::array<int, 2> nodes_{};
  ShmemAlwaysHuge shmem_;
  Mapping registered_;  // the faulter's
  Mapping alias_;       // shmem only: the same file, not registered
  std::optional<Userfaultfd> uffd_;
  std::uint64_t thp_moved_before_ = 0;

  std::atomic<std::size_t> page_{0};  // of the huge page; drawn for each round
  std::atomic<std::uint64_t> round_{0};
  RoundSignal prepared_, faulting_, event_, resolved_, woken_, finished_;
  std::atomic<std::uint64_t> seen_{0};  // what the faulter read
  std::atomic<bool> failed_{false};
  std::mutex error_mutex_;
  std::optional<Error> error_;
  Counter moved_, busy_, absent_, unmoved_, events_, late_events_, repeated_events_, zero_reads_,
      innocent_, thp_moved_;
};

WorkloadInfo UffdThpWait::info() {
  WorkloadInfo info;
  info.name = "uffd-thp-wait";
  info.summary = "userfaultfd waiters while the huge page that resolves their fault migrates";
  info.exercises = {"userfaultfd", "UFFDIO_WRITEPROTECT", "UFFDIO_WAKE",
                    "move_pages",  "handle_userfault",    "set_pmd_migration_entry"};
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
  variant.choices = {"shmem-missing", "anon-wp"};
  variant.help = "shmem registered MISSING, or anonymous memory registered WP";
  ParamSpec provoke;
  provoke.name = "provoke";
  provoke.type = ParamSpec::Type::kChoice;
  provoke.default_value = "none";
  provoke.choices = {"none", "no-touch", "no-wake", "wp-no-write", "late-fill"};
  provoke.help = "makes a false positive happen, to test the oracle: it must not report it";
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
  if (is_wp() ? provoked("no-touch") || provoked("late-fill") : provoked("wp-no-write")) {
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

Result<> UffdThpWait::map() {
  if (!is_wp()) {
    if (Result<> set = shmem_.set(); !set) {
      return set;
    }
  }
  Result<Mapping> mapping =
      Mapping::create(is_wp() ? Backing::kAnonThp : Backing::kShmemThp, kHugePage);
  if (!mapping) {
    return tl::make_unexpected(mapping.error());
  }
  registered_ = std::move(*mapping);
  if (!is_wp()) {
    Result<Mapping> alias = registered_.alias();
    if (!alias) {
      return tl::make_unexpected(alias.error());
    }
    alias_ = std::move(*alias);
  }
  // Does this kernel give a huge page at all? Without one no round would test anything.
  words(registered_).filler.store(1);
  Result<std::uint64_t> huge = registered_.huge_bytes();
  if (!huge) {
    return tl::make_unexpected(huge.error());
  }
  if (*huge != kHugePage) {
    return skipped(fmt::format("the kernel gave no huge page for {} memory", variant_));
  }
  Result<Userfaultfd> uffd =
      Userfaultfd::open(is_wp() ? UFFD_FEATURE_PAGEFAULT_FLAG_WP : UFFD_FEATURE_MISSING_SHMEM);
  if (!uffd) {
    return tl::make_unexpected(uffd.error());
  }
  uffd_ = std::move(*uffd);
  return uffd_->register_range(
      registered_.address(), kHugePage,
      is_wp() ? Userfaultfd::Mode::kWriteProtect : Userfaultfd::Mode::kMissing);
}

std::vector<Role> UffdThpWait::roles() {
  std::vector<Role> roles(4);
  roles[0].name = "faulter";
  roles[0].body = [this](RoleContext& context) { fault(context); };
  // Far above a round's few ms. A faulter that is merely late still has the grace.
  roles[0].limit = std::chrono::milliseconds(250);
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

Result<> UffdThpWait::prepare(RoleContext& context) {
  page_ = context.random().below(kPages);
  round_ = context.round();
  if (Result<> empty = registered_.discard(0, kHugePage); !empty) {
    return empty;
  }
  if (!is_wp()) {
    return {};
  }
  words(registered_).filler.store(0);
  return uffd_->write_protect(registered_.address(), kHugePage);
}

void UffdThpWait::fill(RoleContext& context) {
  Result<> done = prepare(context);
  if (!done) {
    fail(done.error());
  }
  prepared_.announce(context.round());
  if (!await(faulting_, context)) {
    return;
  }
  const auto until = RoundSignal::Clock::now() +
                     std::chrono::microseconds(context.random().below(max_fill_delay_us_ + 1));
  while (RoundSignal::Clock::now() < until) {
    sched_yield();
  }
  done = is_wp() ? resolve_write_protected(context.round()) : resolve_missing(context.round());
  if (done && !provoked("no-wake")) {
    done = uffd_->wake(registered_.address(), kHugePage);
    woken_.announce(context.round());
  }
  if (!done) {
    fail(done.error());
  }
  context.step();
}

Result<> UffdThpWait::resolve_missing(std::uint64_t round) {
  std::atomic<std::uint64_t>& word = words(alias_).filler;
  if (provoked("late-fill")) {
    // Give the hole a page without a value: a load would do, an addition of 0 is sure to allocate.
    word.fetch_add(0);
  } else {
    word.store(round + 1);
  }
  if (!provoked("no-touch")) {
    // Finds the page in the cache, so it is no MISSING fault; maps the PMD.
    words(registered_).filler.load();
    resolved_.announce(round);
  }
  if (!provoked("late-fill")) {
    return {};
  }
  // Hold the value back until the faulter has read the page.
  if (Result<> woken = uffd_->wake(registered_.address(), kHugePage); !woken) {
    return woken;
  }
  finished_.await_until(round, RoundSignal::Clock::now() + env_->scaled(kReleaseTime));
  word.store(round + 1);
  return {};
}

Result<> UffdThpWait::resolve_write_protected(std::uint64_t round) {
  if (Result<> done = uffd_->write_unprotect(registered_.address(), kHugePage, false); !done) {
    return done;
  }
  if (!provoked("wp-no-write")) {
    words(registered_).filler.store(round + 1);
    resolved_.announce(round);
  }
  return {};
}

void UffdThpWait::count_move(const MoveResult& moved, int target) {
  const int status = moved.status.front();
  // A whole call that fails reports no status, so it counts as failed, too.
  if (status == target) {
    moved_.add();
  } else if (status == -EBUSY || status == -EAGAIN) {
    busy_.add();
  } else if (status == -ENOENT || status == -EFAULT) {
    absent_.add();
  } else {
    unmoved_.add();
  }
}

void UffdThpWait::migrate(RoleContext& context) {
  if (!await(prepared_, context)) {
    return;
  }
  // The alias: the registered area is not mapped before the filler has touched it.
  const Mapping& mapping = is_wp() ? registered_ : alias_;
  const std::vector<std::uintptr_t> head{mapping.address()};
  for (std::size_t turn = 0; !finished_.announced(context.round()) && !context.stopping(); ++turn) {
    const int target = nodes_[turn % nodes_.size()];
    const MoveResult moved = move_pages_to(0, head, target);
    count_move(moved, target);
    context.step();
    if (moved.status.front() != target) {
      sched_yield();
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
  const std::uint64_t stamp = round + 1;
  const std::uint64_t filler = words(registered_).filler.load();
  const std::uint64_t faulter = is_wp() ? words(registered_).faulter.load() : seen_.load();
  if (!is_wp() && faulter == 0) {
    zero_reads_.add();  // it may have read before the filler's store
  }
  const bool filler_ok = filler == stamp || provoked("wp-no-write");
  if (filler_ok && (faulter == stamp || (!is_wp() && faulter == 0))) {
    return std::nullopt;
  }
  FindingRecord finding;
  finding.kind = "corruption";
  finding.title = is_wp() ? "a write to a migrated page is lost" : "a hole reads as old data";
  finding.role = "faulter";
  finding.evidence["values"] =
      fmt::format("expected {}; the filler's word is {}, the faulter's {}", stamp, filler, faulter);
  return finding;
}

std::optional<std::string> UffdThpWait::why_innocent(PageEntry entry) const {
  const std::uint64_t round = round_;
  if (!faulting_.announced(round)) {
    return "the faulter was not released";
  }
  if (!resolved_.announced(round)) {
    return is_wp() ? "nobody has written since the un-protect"
                   : "nobody has touched the registered area";
  }
  if (!woken_.announced(round) || woken_.at() < resolved_.at()) {
    return "there was no UFFDIO_WAKE after the page was there";
  }
  if (!entry.present()) {
    return "the page is not present in the registered area";
  }
  if (entry.uffd_wp()) {
    return "the page is still write-protected by userfaultfd";
  }
  return std::nullopt;
}

std::optional<std::chrono::microseconds> UffdThpWait::release() {
  const auto start = RoundSignal::Clock::now();
  if (Result<> woken = uffd_->wake(registered_.address(), kHugePage); !woken) {
    fail(woken.error());
    return std::nullopt;
  }
  if (!finished_.await_until(round_, start + env_->scaled(kReleaseTime))) {
    return std::nullopt;
  }
  return std::chrono::duration_cast<std::chrono::microseconds>(RoundSignal::Clock::now() - start);
}

std::string UffdThpWait::order_of_events() const {
  const std::uint64_t round = round_;
  const auto start = prepared_.at();
  std::vector<std::pair<RoundSignal::Clock::time_point, std::string_view>> events;
  const auto take = [&](const RoundSignal& signal, std::string_view what) {
    if (signal.announced(round)) {
      events.emplace_back(signal.at(), what);
    }
  };
  take(prepared_, is_wp() ? "huge page write-protected" : "hole punched");
  take(faulting_, "faulter goes to its fault");
  take(event_, "monitor reads the fault event");
  take(resolved_, is_wp() ? "un-protected with DONTWAKE, then written"
                          : "filled through the alias, then touched in the registered area");
  take(woken_, "UFFDIO_WAKE");
  events.emplace_back(RoundSignal::Clock::now(), "judged: still in handle_userfault");
  std::stable_sort(events.begin(), events.end());
  std::string text;
  for (const auto& [at, what] : events) {
    text += fmt::format("{:10} us  {}\n",
                        std::chrono::duration_cast<std::chrono::microseconds>(at - start).count(),
                        what);
  }
  return text;
}

std::optional<FindingRecord> UffdThpWait::judge(const Stuck& stuck) {
  if (stuck.role != "faulter" || stuck.stack.find("handle_userfault") == std::string::npos) {
    return failed_ ? std::nullopt : Workload::judge(stuck);
  }
  Result<PageMap> pagemap = PageMap::open_self();
  Result<PageEntry> entry =
      pagemap ? pagemap->at(fault_address()) : Result<PageEntry>(tl::unexpected(pagemap.error()));
  if (!entry) {
    fail(entry.error());
    return std::nullopt;
  }
  const std::string order = order_of_events();
  Result<std::uint64_t> thp = thp_moved();
  if (!thp) {
    fail(thp.error());
    return std::nullopt;
  }
  if (const std::optional<std::string> why = why_innocent(*entry)) {
    innocent_.add();
    env_->note(fmt::format("round {}: the faulter waits rightly: {}; page map {}", round_.load(),
                           *why, describe(*entry)));
    return std::nullopt;
  }
  const std::optional<std::chrono::microseconds> released = release();
  FindingRecord finding;
  finding.kind = "hang";
  finding.title = released ? "hang in handle_userfault" : "hang in handle_userfault despite a wake";
  finding.role = stuck.role;
  finding.round = round_;
  finding.evidence["stack"] = stuck.stack;
  finding.evidence["wchan"] = stuck.wchan;
  finding.evidence["pagemap"] = fmt::format("{:#x}: {}", fault_address(), describe(*entry));
  finding.evidence["order"] = order;
  finding.evidence["moves"] = fmt::format("moved {}, busy {}, absent {}, failed {}", moved_.value(),
                                          busy_.value(), absent_.value(), unmoved_.value());
  finding.evidence["release"] =
      released ? fmt::format("a second UFFDIO_WAKE released it after {} us", released->count())
               : "a second UFFDIO_WAKE did not release it";
  return finding;
}

bool UffdThpWait::rescue(const Stuck& stuck) {
  if (stuck.role != "faulter") {
    return false;
  }
  return finished_.announced(round_) || release().has_value();
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
  if (*thp == 0 || moved_.value() == 0) {
    return broken(fmt::format(
        "no huge page was migrated: {} +{}; moved {}, busy {}, absent {}, "
        "failed {}; is there room on both nodes?",
        kThpMoved, *thp, moved_.value(), busy_.value(), absent_.value(), unmoved_.value()));
  }
  return {};
}

REGISTER_WORKLOAD(UffdThpWait);

}  // namespace
}  // namespace mmquake
