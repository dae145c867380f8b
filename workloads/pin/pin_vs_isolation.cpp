// SPDX-License-Identifier: GPL-2.0-or-later
//
// A long-term pin has to move pages out of ZONE_MOVABLE, and cannot while someone else has taken
// them off the LRU: reclaim, another migration, compaction. It must neither fail for that in user
// space, nor succeed with the pages where they are. It has to look again.
//
// "mm/gup: limit number of gup migration failures, honor failures" (linux-mm, January 2021) would
// have made pins fail; f68749ec342b ("mm/gup: longterm pin migration cleanup", 5.13) retries. Until
// 24a95998e9ba ("mm/gup.c: simplify and fix check_and_migrate_movable_pages() return codes", 6.1)
// an empty list of isolated pages counted as "all pages may be pinned".
//
// One round: fresh pages in ZONE_MOVABLE, pinned and let go some times, while the isolator takes
// the same pages off the LRU. layout=alternate needs no isolator: the pages of two huge pages by
// turns, so that the pin itself meets pages that it has isolated already.
//
// Oracles: workloads/pin/placement.h (pinned pages in forbidden memory) and pin_refusal.h (a pin
// that failed for nothing). What the parameter `provoke` does:
//   short-term  vmsplice instead of a long-term pin: pages in ZONE_MOVABLE must be found
//   memlock     the pinner may lock no memory, and the oracle is not told: the ENOMEM must be found
//   no-right    the same, and the oracle is told: nothing may be reported
//   held        vmsplice holds the pages, so that their migration fails: nothing may be reported
#include <fmt/core.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "guest/device/io_uring_buffer.h"
#include "guest/device/vmsplice_holder.h"
#include "guest/memory/kernel_counters.h"
#include "guest/memory/numa.h"
#include "guest/memory/page_layout.h"
#include "guest/memory/ram_swap.h"
#include "guest/memory/text_file.h"
#include "guest/runner/workload.h"
#include "workloads/pin/pin_refusal.h"
#include "workloads/pin/placement.h"

namespace mmquake {
namespace {

constexpr int kPinsPerRound = 4;
constexpr std::chrono::seconds kPinLimit{10};

class PinVsIsolation final : public Workload {
 public:
  static WorkloadInfo info();
  Result<> set_up(Environment& env) override;
  std::vector<Role> roles() override;
  std::optional<FindingRecord> check() override { return std::exchange(finding_, std::nullopt); }
  Result<> verify_work() override;

 private:
  void pin_round(RoleContext& context);
  Result<> attempt();
  Result<> attempt_pages(std::uintptr_t address, std::size_t bytes);
  Result<> judge_refusal(int error, std::uint64_t failed_moves, std::size_t bytes);
  Result<> judge_pinned(std::uintptr_t address, const std::vector<PageEntry>& before);
  Result<> open_pinner();
  void isolate(RoleContext& context);
  Result<> isolate_once(std::uintptr_t address, std::size_t turn);
  bool provoked(std::string_view what) const { return provoke_ == what; }
  bool takes_rights() const { return provoked("memlock") || provoked("no-right"); }

  std::string provoke_, isolator_;
  bool alternate_ = false;
  std::size_t bytes_ = 0;
  std::vector<int> nodes_;
  Forbidden forbidden_;
  RamSwap swap_;
  Mapping small_;
  std::unique_ptr<IoUringBuffer> io_uring_;
  std::unique_ptr<VmspliceHolder> vmsplice_;
  Pinner* pinner_ = nullptr;  // opened by the pinner's thread, which may have lost rights
  DeviceMirror* mirror_ = nullptr;
  std::optional<FindingRecord> finding_;
  std::optional<Error> error_, isolator_error_;     // one for each role
  std::atomic<std::uint64_t> begun_{0}, ended_{0};  // of the isolator's calls
  std::atomic<bool> round_over_{false};
  Counter pins_, refused_, innocent_, from_forbidden_, left_, other_pages_, isolations_, overlaps_;
};

WorkloadInfo PinVsIsolation::info() {
  WorkloadInfo info;
  info.name = "pin-vs-isolation";
  info.summary = "long-term pins of pages that others take off the LRU at that moment";
  info.exercises = {"FOLL_LONGTERM", "folio_isolate_lru", "check_and_migrate_movable_pages",
                    "MADV_PAGEOUT",  "move_pages",        "compact_memory"};
  info.needs.cpus = 2;
  info.needs.free_mib_per_node = 64;
  info.needs.files = {"/proc/self/pagemap", "/proc/zoneinfo"};
  info.params.push_back(
      choice_param("layout", {"small", "alternate"},
                   "small pages, or two huge pages whose pages take turns (2 MiB)"));
  info.params.push_back(choice_param("isolator", {"pageout", "move-pages", "compaction", "none"},
                                     "who takes pages off the LRU"));
  info.params.push_back(choice_param("provoke",
                                     {"none", "short-term", "memlock", "no-right", "held"},
                                     "breaks the rules, to test the oracle"));
  info.params.push_back(
      {"pages", ParamSpec::Type::kInteger, "64", 1, 256, {}, "how many small pages a pin has"});
  return info;
}

Result<> PinVsIsolation::set_up(Environment& env) {
  provoke_ = env.param("provoke");
  isolator_ = env.param("isolator");
  alternate_ = env.param("layout") == "alternate";
  bytes_ = static_cast<std::size_t>(env.param_int("pages")) * kSmallPage;
  nodes_ = env.memory_nodes();
  if (alternate_ && isolator_ != "none") {
    return usage("layout=alternate needs isolator=none: the pin itself isolates its pages");
  }
  if (isolator_ == "move-pages" && nodes_.size() < 2) {
    return skipped("isolator=move-pages needs two nodes with memory");
  }
  Result<Forbidden> forbidden = read_forbidden("movable");
  if (!forbidden) {
    return tl::make_unexpected(forbidden.error());
  }
  forbidden_ = std::move(*forbidden);
  if (isolator_ == "pageout") {
    if (Result<> swap = swap_.start(); !swap) {
      return swap;
    }
  }
  Result<Mapping> small = Mapping::create(Backing::kAnon4k, bytes_);
  if (!small) {
    return tl::make_unexpected(small.error());
  }
  small_ = std::move(*small);
  pins_ = env.counter("pins/succeeded");
  refused_ = env.counter("pins/refused");
  innocent_ = env.counter("pins/refused-rightly");
  from_forbidden_ = env.counter("pages/in-forbidden-before");
  left_ = env.counter("pages/left-there-pinned");
  other_pages_ = env.counter("pages/mapped-but-not-pinned");
  isolations_ = env.counter("isolations");
  overlaps_ = env.counter("overlaps");
  return {};
}

std::vector<Role> PinVsIsolation::roles() {
  std::vector<Role> roles(1);
  roles[0].name = "pinner";
  roles[0].body = [this](RoleContext& context) { pin_round(context); };
  roles[0].cpu = 0;
  roles[0].limit = kPinLimit;
  if (isolator_ != "none") {
    roles.emplace_back();
    roles[1].name = "isolator";
    roles[1].body = [this](RoleContext& context) { isolate(context); };
    roles[1].cpu = 1;
    roles[1].limit = kPinLimit;
  }
  return roles;
}

// Of this thread alone: the kernel asks when the ring is made.
Result<> drop_right_to_lock() {
  const rlimit none{0, 0};
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct rights[2]{};
  if (setrlimit(RLIMIT_MEMLOCK, &none) != 0 || syscall(SYS_capget, &header, rights) != 0) {
    return broken(fmt::format("provoke: setrlimit and capget: {}", errno_text(errno)));
  }
  rights[0].effective &= ~(1U << CAP_IPC_LOCK);
  if (syscall(SYS_capset, &header, rights) != 0) {
    return broken(fmt::format("provoke: capset: {}", errno_text(errno)));
  }
  return {};
}

Result<> PinVsIsolation::open_pinner() {
  if (const int error = prefer_node(forbidden_.node); error != 0) {
    return broken(fmt::format("set_mempolicy: {}", errno_text(error)));
  }
  if (takes_rights()) {
    if (Result<> dropped = drop_right_to_lock(); !dropped) {
      return dropped;
    }
  }
  if (provoked("short-term") || provoked("held")) {
    Result<std::unique_ptr<VmspliceHolder>> holder = VmspliceHolder::open();
    if (!holder) {
      return tl::make_unexpected(holder.error());
    }
    vmsplice_ = std::move(*holder);
  }
  Result<std::unique_ptr<IoUringBuffer>> buffer = IoUringBuffer::open();
  if (!buffer) {
    return tl::make_unexpected(buffer.error());
  }
  io_uring_ = std::move(*buffer);
  pinner_ = io_uring_.get();
  mirror_ = io_uring_.get();
  if (provoked("short-term")) {
    pinner_ = vmsplice_.get();
    mirror_ = vmsplice_.get();
  }
  return {};
}

void PinVsIsolation::pin_round(RoleContext& context) {
  if (pinner_ == nullptr && !error_) {
    if (Result<> opened = open_pinner(); !opened) {
      error_ = opened.error();
    }
  }
  for (int i = 0; i < kPinsPerRound && !context.stopping() && !error_ && !finding_; ++i) {
    if (Result<> done = attempt(); !done) {
      error_ = done.error();
    }
    context.step();
  }
  round_over_.store(true);
}

Result<> PinVsIsolation::attempt() {
  if (!alternate_) {
    if (Result<> fresh = small_.discard(0, bytes_); !fresh) {
      return fresh;
    }
    for (std::size_t at = 0; at < bytes_; at += kSmallPage) {
      std::atomic_ref(*reinterpret_cast<std::uint64_t*>(small_.data() + at)).store(at);
    }
    return attempt_pages(small_.address(), bytes_);
  }
  Result<PageLayout> layout = PageLayout::build(
      LayoutKind::kAlternate, [this](std::uint64_t pfn) { return forbidden_.holds(pfn); });
  if (!layout) {
    return tl::make_unexpected(layout.error());
  }
  return attempt_pages(layout->address(), PageLayout::size());
}

Result<std::uint64_t> failed_moves() {
  Result<KernelCounters> vmstat = read_vmstat();
  if (!vmstat) {
    return tl::make_unexpected(vmstat.error());
  }
  return value_of(*vmstat, "pgmigrate_fail");
}

Result<> PinVsIsolation::attempt_pages(std::uintptr_t address, std::size_t bytes) {
  Result<PageMap> map = PageMap::open_self();
  if (!map) {
    return tl::make_unexpected(map.error());
  }
  Result<std::vector<PageEntry>> before = map->range(address, bytes);
  if (!before) {
    return tl::make_unexpected(before.error());
  }
  if (provoked("held") && vmsplice_->pin(address, bytes) != 0) {
    return broken("provoke=held: vmsplice holds nothing");
  }
  Result<std::uint64_t> failed_before = failed_moves();
  if (!failed_before) {
    return tl::make_unexpected(failed_before.error());
  }
  from_forbidden_.add(count_forbidden(*before, forbidden_));
  const std::uint64_t ended = ended_.load();
  const int error = pinner_->pin(address, bytes);
  // A call of the isolator was under way at some time of the pin.
  overlaps_.add(begun_.load() > ended ? 1 : 0);
  if (provoked("held")) {
    if (Result<> released = vmsplice_->unpin(); !released) {
      return released;
    }
  }
  if (error != 0) {
    Result<std::uint64_t> failed_after = failed_moves();
    return failed_after ? judge_refusal(error, *failed_after - *failed_before, bytes)
                        : Result<>(tl::make_unexpected(failed_after.error()));
  }
  pins_.add();
  if (Result<> judged = judge_pinned(address, *before); !judged) {
    return judged;
  }
  return pinner_->unpin();
}

Result<> PinVsIsolation::judge_refusal(int error, std::uint64_t failed, std::size_t bytes) {
  refused_.add();
  Result<std::string> text = read_text("/proc/meminfo");
  if (!text) {
    return tl::make_unexpected(text.error());
  }
  Result<KernelCounters> meminfo = parse_counters(*text);
  if (!meminfo) {
    return tl::make_unexpected(meminfo.error());
  }
  const Refusal refusal{error, failed, value_of(*meminfo, "MemAvailable"), bytes / 1024,
                        !provoked("no-right")};
  if (why_refused(refusal)) {
    innocent_.add();
    return {};
  }
  FindingRecord finding;
  finding.kind = "kernel-bug";
  finding.title = std::string("long-term pin failed with ") + strerrorname_np(error);
  finding.role = "pinner";
  finding.evidence["pin"] =
      fmt::format("{} pages by {}, {}; isolator {}", bytes / kSmallPage, pinner_->name(),
                  alternate_ ? "alternate" : "small", isolator_);
  finding.evidence["memory"] =
      fmt::format("{} KiB available, {} KiB wanted", refusal.available_kib, refusal.wanted_kib);
  finding.evidence["migrations"] = "no migration failed meanwhile (pgmigrate_fail)";
  finding_ = std::move(finding);
  return {};
}

Result<> PinVsIsolation::judge_pinned(std::uintptr_t address,
                                      const std::vector<PageEntry>& before) {
  Result<Placement> seen = look_while_pinned(address, before, *mirror_, forbidden_);
  if (!seen) {
    return tl::make_unexpected(seen.error());
  }
  other_pages_.add(seen->other_page);
  if (seen->left == 0) {
    return {};
  }
  left_.add(seen->left);
  FindingRecord finding;
  finding.kind = "misplacement";
  finding.title = "long-term pinned pages in " + forbidden_.name;
  finding.role = "pinner";
  finding.evidence["pages"] = fmt::format(
      "{} pages pinned by {} while the isolator ({}) was at work; {} lay in {} before, {} do while "
      "they are pinned; page {} is the first",
      before.size(), pinner_->name(), isolator_, seen->before, forbidden_.name, seen->left,
      *seen->first_left);
  finding.evidence["pagemap"] =
      fmt::format("before: {}\nwhile it is pinned: {}", describe(before[*seen->first_left]),
                  describe(seen->first_entry));
  finding.evidence["forbidden"] = forbidden_.lists;
  finding.evidence["device"] = "sees what the process writes to that page now";
  finding_ = std::move(finding);
  return {};
}

Result<> PinVsIsolation::isolate_once(std::uintptr_t address, std::size_t turn) {
  if (isolator_ == "pageout") {
    if (madvise(reinterpret_cast<void*>(address), bytes_, MADV_PAGEOUT) != 0) {
      return broken(fmt::format("MADV_PAGEOUT: {}", errno_text(errno)));
    }
  } else if (isolator_ == "compaction") {
    if (Result<> compacted = write_text("/proc/sys/vm/compact_memory", "1\n"); !compacted) {
      return compacted;
    }
  } else {
    std::vector<std::uintptr_t> addresses;
    for (std::size_t at = 0; at < bytes_; at += kSmallPage) {
      addresses.push_back(address + at);
    }
    // Some pages refuse, most of all those that are pinned.
    move_pages_to(0, addresses, nodes_[turn % nodes_.size()]);
  }
  isolations_.add();
  return {};
}

void PinVsIsolation::isolate(RoleContext& context) {
  for (std::size_t turn = 0; !round_over_.load() && !context.stopping() && !isolator_error_;
       ++turn) {
    begun_.fetch_add(1);
    if (Result<> done = isolate_once(small_.address(), turn); !done) {
      isolator_error_ = done.error();
    }
    ended_.store(begun_.load());
    context.step();
    sched_yield();
  }
  round_over_.store(false);
}

Result<> PinVsIsolation::verify_work() {
  for (const std::optional<Error>* error : {&error_, &isolator_error_}) {
    if (*error) {
      return tl::make_unexpected(**error);
    }
  }
  if (pins_.value() + innocent_.value() == 0 || from_forbidden_.value() == 0) {
    return broken(
        fmt::format("nothing was tested: {} pins succeeded, {} were refused, {} pages "
                    "were in {} before",
                    pins_.value(), refused_.value(), from_forbidden_.value(), forbidden_.name));
  }
  if (isolator_ != "none" && overlaps_.value() == 0) {
    return broken(
        fmt::format("no pin overlapped with one of the isolator's {} calls", isolations_.value()));
  }
  return {};
}

REGISTER_WORKLOAD(PinVsIsolation);

}  // namespace
}  // namespace mmquake
