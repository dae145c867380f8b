// SPDX-License-Identifier: GPL-2.0-or-later
//
// Memory that is pinned for long (FOLL_LONGTERM) must not stay in ZONE_MOVABLE or CMA, whatever
// huge pages its PTEs map and in which order.
//
// From aa712399c1e8 ("mm/gup: speed up check_and_migrate_cma_pages() on huge page", 5.2) until
// 83c02c23d074 ("mm/gup: check every subpage of a compound page during isolation", 5.13) the check
// stepped over as many pages as the huge page that it had just seen has left. Neighbouring PTEs
// need not map neighbours: what was stepped over stayed where it was, pinned.
//
// One round: build a layout (guest/memory/page_layout.h) of pages in forbidden memory, pin it, look
// at where the pages are while they are pinned, unpin.
//
// The oracle counts a page only if it is pinned: a stamp that the process writes now must be seen
// through the device's own reference. A layout of which nothing lay in forbidden memory before the
// pin is not judged. With oracle=hot-remove the memory blocks in which the layout lay before the
// pin are taken offline while it is pinned (workloads/pin/hot_remove_oracle.h), and that must end.
//
// What the parameter `provoke` does:
//   short-term         vmsplice holds the pages, which may do so anywhere: it must be found
//   not-movable        the layout is pinned a second time, after the first pin moved it away: there
//                      is nothing to judge, so the trial must be broken
//   refault-after-pin  the process gets new pages, in forbidden memory, after the pin: the device
//                      holds the old ones, so nothing may be reported
//   held-by-other      of oracle=hot-remove: vmsplice holds other pages, in the block that is taken
//                      offline. That never ends, and is not the long-term pin's fault: the trial
//                      must be broken, as there was nothing to judge
#include <fmt/core.h>
#include <sys/mman.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "guest/device/gup_test.h"
#include "guest/device/pinning_device.h"
#include "guest/memory/kernel_counters.h"
#include "guest/memory/numa.h"
#include "guest/memory/page_layout.h"
#include "guest/runner/workload.h"
#include "workloads/pin/hot_remove_oracle.h"
#include "workloads/pin/placement.h"

namespace mmquake {
namespace {

constexpr std::chrono::seconds kPinLimit{10};

class PinLayouts final : public Workload {
 public:
  static WorkloadInfo info();
  Result<> set_up(Environment& env) override;
  std::vector<Role> roles() override {
    std::vector<Role> roles(1);
    roles[0].name = "pinner";
    roles[0].body = [this](RoleContext& context) { pin(context); };
    roles[0].limit = kPinLimit;
    return roles;
  }
  std::optional<FindingRecord> check() override;
  Result<> verify_work() override;

 private:
  struct BuiltLayout {
    PageLayout layout;
    std::vector<PageEntry> before;
    std::string events;  // what the kernel counted while it was built
  };
  Result<> open_holder(const std::string& consumer);
  void pin(RoleContext& context);
  Result<> play(LayoutKind kind, RoleContext& context);
  Result<BuiltLayout> build(LayoutKind kind);
  Result<> hold_and_look(BuiltLayout& built, RoleContext& context);
  Result<> move_away(BuiltLayout& built);
  void refault(const PageLayout& layout) const;
  Result<> judge_placement_of(const BuiltLayout& built);
  Result<> judge_hot_remove_of(const BuiltLayout& built, RoleContext& context);
  Result<> let_kernel_look(BuiltLayout& built);
  Result<std::vector<PageEntry>> page_map(const PageLayout& layout) const;
  FindingRecord describe_left(const BuiltLayout& built, const Placement& seen) const;
  bool provoked(std::string_view what) const { return provoke_ == what; }

  std::string provoke_;
  std::vector<LayoutKind> kinds_;
  std::uint64_t moved_before_ = 0;
  Forbidden forbidden_;
  std::optional<HotRemoveOracle> hot_remove_;
  std::unique_ptr<PinningDevice> holder_;  // or
  std::unique_ptr<GupTest> gup_test_;      // which cannot hold a pin before 6.2
  std::optional<FindingRecord> finding_;   // the role's, for check()
  std::optional<Error> error_;
  Counter pages_before_, pages_left_, other_pages_, unjudged_, refused_, migrations_;
  struct Tally {
    Counter built, without_migration, judged;
  };
  std::map<LayoutKind, Tally> tallies_;
};

WorkloadInfo PinLayouts::info() {
  WorkloadInfo info;
  info.name = "pin-layouts";
  info.summary = "long-term pins of memory whose PTEs map huge pages out of order";
  info.exercises = {"FOLL_LONGTERM",
                    "check_and_migrate_movable_pages",
                    "io_uring fixed buffers",
                    "ibv_reg_mr",
                    "mremap",
                    "MADV_DONTNEED",
                    "fork"};
  info.needs.free_mib_per_node = 64;
  info.needs.files = {"/proc/self/pagemap", "/proc/kpageflags", "/proc/zoneinfo"};
  info.needs.thp = true;
  std::vector<std::string> layouts{"all"};
  for (const LayoutKind kind : kAllLayouts) {
    layouts.emplace_back(to_string(kind));
  }
  info.params.push_back(choice_param("layout", std::move(layouts),
                                     "how PTEs and pages go together; all: one after another"));
  info.params.push_back(
      choice_param("consumer", {"io_uring", "rxe", "gup_test", "gup_test-hold"},
                   "who pins; rxe is RDMA by soft-RoCE; gup_test looks itself and "
                   "warns in the kernel's log; from 6.2 on it can hold a pin"));
  info.params.push_back(
      choice_param("place", {"movable", "cma"}, "the memory that no long-term pin may be in"));
  info.params.push_back(choice_param(
      "oracle", {"placement", "hot-remove"},
      "where the pages are, or whether their memory blocks can still be taken offline"));
  info.params.push_back(known_bugs_param("docs/cases/zone-span-unlocked.md"));
  info.params.push_back(choice_param(
      "provoke", {"none", "short-term", "not-movable", "refault-after-pin", "held-by-other"},
      "breaks the rules, to test the oracle"));
  return info;
}

Result<> PinLayouts::set_up(Environment& env) {
  provoke_ = env.param("provoke");
  const bool removes = env.param("oracle") == "hot-remove";
  if (env.param("consumer") == "gup_test" && (removes || provoke_ != "none")) {
    return usage("oracle=hot-remove and parameter provoke need a consumer that holds its pin");
  }
  if (removes && env.param("place") != "movable") {
    return usage("oracle=hot-remove needs place=movable");
  }
  if (provoked("held-by-other") && !removes) {
    return usage("provoke=held-by-other needs oracle=hot-remove");
  }
  Result<Forbidden> forbidden = read_forbidden(env.param("place"));
  if (!forbidden) {
    return tl::make_unexpected(forbidden.error());
  }
  forbidden_ = std::move(*forbidden);
  if (removes) {
    hot_remove_.emplace();
    if (Result<> ready = hot_remove_->set_up(env, forbidden_); !ready) {
      return ready;
    }
  }
  const std::optional<LayoutKind> one = layout_from(env.param("layout"));
  kinds_.assign(kAllLayouts.begin(), kAllLayouts.end());
  if (one) {
    kinds_ = {*one};
  }
  for (const LayoutKind kind : kinds_) {
    const std::string row = "layouts/" + std::string(to_string(kind)) + "/";
    tallies_[kind] = {env.counter(row + "built"), env.counter(row + "no-migration"),
                      env.counter(row + "judged")};
  }
  Result<KernelCounters> vmstat = read_vmstat();
  if (!vmstat) {
    return tl::make_unexpected(vmstat.error());
  }
  moved_before_ = value_of(*vmstat, "pgmigrate_success");
  pages_before_ = env.counter("pages/in-forbidden-before");
  pages_left_ = env.counter("pages/left-there-pinned");
  other_pages_ = env.counter("pages/mapped-but-not-pinned");
  unjudged_ = env.counter("pins/unjudged");
  refused_ = env.counter("pins/refused");
  migrations_ = env.counter("migrations");
  if (env.param("consumer") == "gup_test") {
    Result<std::unique_ptr<GupTest>> driver = GupTest::open();
    if (!driver) {
      return tl::make_unexpected(driver.error());
    }
    gup_test_ = std::move(*driver);
    return {};
  }
  return open_holder(env.param("consumer"));
}

Result<> PinLayouts::open_holder(const std::string& consumer) {
  Result<std::unique_ptr<PinningDevice>> holder =
      open_pinning_device(provoked("short-term") ? "vmsplice" : consumer);
  if (!holder) {
    return tl::make_unexpected(holder.error());
  }
  holder_ = std::move(*holder);
  return {};
}

void PinLayouts::pin(RoleContext& context) {
  if (const int error = prefer_node(forbidden_.node); error != 0 && !error_) {
    error_ = Error{ErrorKind::kBroken, "set_mempolicy: " + errno_text(error)};
  }
  for (const LayoutKind kind : kinds_) {
    if (context.stopping() || error_ || finding_) {
      return;
    }
    if (Result<> played = play(kind, context); !played) {
      error_ = played.error();
      error_->message = std::string(to_string(kind)) + ": " + error_->message;
    }
    context.step();
  }
}

Result<std::vector<PageEntry>> PinLayouts::page_map(const PageLayout& layout) const {
  Result<PageMap> map = PageMap::open_self();
  if (!map) {
    return tl::make_unexpected(map.error());
  }
  return map->range(layout.address(), PageLayout::size());
}

// The kernel's own count says whether pages had to migrate, or a huge page to be split, for PTEs to
// get out of order.
Result<PinLayouts::BuiltLayout> PinLayouts::build(LayoutKind kind) {
  Result<KernelCounters> start = read_vmstat();
  if (!start) {
    return tl::make_unexpected(start.error());
  }
  Result<PageLayout> layout =
      PageLayout::build(kind, [this](std::uint64_t pfn) { return forbidden_.holds(pfn); });
  if (!layout) {
    return tl::make_unexpected(layout.error());
  }
  Result<KernelCounters> end = read_vmstat();
  if (!end) {
    return tl::make_unexpected(end.error());
  }
  Result<std::vector<PageEntry>> before = page_map(*layout);
  if (!before) {
    return tl::make_unexpected(before.error());
  }
  std::string events;
  std::uint64_t moved = 0;
  for (const char* event :
       {"pgmigrate_success", "pgmigrate_fail", "thp_split_page", "thp_split_pmd"}) {
    const std::uint64_t count = value_of(*end, event) - value_of(*start, event);
    events += fmt::format("{} +{}\n", event, count);
    moved += std::string_view(event) == "thp_split_pmd" ? 0 : count;
  }
  Tally& tally = tallies_[kind];
  tally.built.add();
  tally.without_migration.add(moved == 0 ? 1 : 0);
  return BuiltLayout{std::move(*layout), std::move(*before), std::move(events)};
}

Result<> PinLayouts::play(LayoutKind kind, RoleContext& context) {
  Result<BuiltLayout> built = build(kind);
  if (!built) {
    return tl::make_unexpected(built.error());
  }
  return holder_ ? hold_and_look(*built, context) : let_kernel_look(*built);
}

Result<> PinLayouts::move_away(BuiltLayout& built) {
  if (holder_->pin(built.layout.address(), PageLayout::size()) != 0) {
    return broken("the first of two pins failed");
  }
  if (Result<> done = holder_->unpin(); !done) {
    return done;
  }
  Result<std::vector<PageEntry>> now = page_map(built.layout);
  if (!now) {
    return tl::make_unexpected(now.error());
  }
  built.before = std::move(*now);
  return {};
}

// Not whole PMDs, so that what comes back are small pages of the zone that comes first.
void PinLayouts::refault(const PageLayout& layout) const {
  for (std::size_t page = 1; page < kPagesOfHugePage; ++page) {
    std::byte* at = layout.data() + page * kSmallPage;
    madvise(at, kSmallPage, MADV_DONTNEED);
    *reinterpret_cast<volatile char*>(at) = 1;
  }
}

Result<> PinLayouts::hold_and_look(BuiltLayout& built, RoleContext& context) {
  if (provoked("not-movable")) {
    if (Result<> moved = move_away(built); !moved) {
      return moved;
    }
  }
  if (holder_->pin(built.layout.address(), PageLayout::size()) != 0) {
    refused_.add();
    return {};
  }
  context.step();
  if (provoked("refault-after-pin")) {
    refault(built.layout);
  }
  const std::size_t before = count_forbidden(built.before, forbidden_);
  pages_before_.add(before);
  if (before == 0) {
    unjudged_.add();
    return holder_->unpin();
  }
  return hot_remove_ ? judge_hot_remove_of(built, context) : judge_placement_of(built);
}

Result<> PinLayouts::judge_placement_of(const BuiltLayout& built) {
  Result<Placement> seen =
      look_while_pinned(built.layout.address(), built.before, *holder_, forbidden_);
  if (!seen) {
    return tl::make_unexpected(seen.error());
  }
  other_pages_.add(seen->other_page);
  tallies_[built.layout.kind()].judged.add();
  if (seen->left > 0) {
    pages_left_.add(seen->left);
    finding_ = describe_left(built, *seen);
  }
  return holder_->unpin();
}

Result<> PinLayouts::judge_hot_remove_of(const BuiltLayout& built, RoleContext& context) {
  std::set<std::uint64_t> blocks = hot_remove_->blocks_of(built.before);
  std::optional<BuiltLayout> others;
  std::unique_ptr<PinningDevice> other;
  if (provoked("held-by-other")) {
    Result<BuiltLayout> more = build(LayoutKind::kContiguous);
    if (!more) {
      return tl::make_unexpected(more.error());
    }
    Result<std::unique_ptr<PinningDevice>> holder = open_pinning_device("vmsplice");
    if (!holder) {
      return tl::make_unexpected(holder.error());
    }
    if ((*holder)->pin(more->layout.address(), PageLayout::size()) != 0) {
      return broken("vmsplice holds no pages");
    }
    blocks = hot_remove_->blocks_of(more->before);
    others.emplace(std::move(*more));
    other = std::move(*holder);
  }
  Result<HotRemoveOracle::Outcome> out =
      hot_remove_->probe({built.layout.address(), built.before, *holder_}, blocks, context);
  if (!out) {
    return tl::make_unexpected(out.error());
  }
  tallies_[built.layout.kind()].judged.add(out->sound > 0 ? 1 : 0);
  if (out->finding) {
    finding_ = std::move(out->finding);
    finding_->evidence["layout"] = to_string(built.layout.kind());
    finding_->evidence["forbidden"] = forbidden_.lists;
    finding_->evidence["while the layout was built"] = built.events;
  }
  return out->unpinned ? Result<>() : holder_->unpin();
}

// The driver looks itself, and says in the kernel's log what it found; the host reads that.
Result<> PinLayouts::let_kernel_look(BuiltLayout& built) {
  const std::size_t before = count_forbidden(built.before, forbidden_);
  Result<PinTiming> pinned =
      gup_test_->pin_and_check(PinCall::kLongterm, built.layout.address(), PageLayout::size());
  if (!pinned) {
    return tl::make_unexpected(pinned.error());
  }
  pages_before_.add(before);
  if (!pinned->pinned) {
    refused_.add();
  } else {
    (before > 0 ? tallies_[built.layout.kind()].judged : unjudged_).add();
  }
  return {};
}

FindingRecord PinLayouts::describe_left(const BuiltLayout& built, const Placement& seen) const {
  FindingRecord finding;
  finding.kind = "misplacement";
  finding.title = "long-term pinned pages in " + forbidden_.name;
  finding.role = "pinner";
  const std::size_t first = *seen.first_left;
  finding.evidence["layout"] = to_string(built.layout.kind());
  finding.evidence["pages"] = fmt::format(
      "{} of {} were in {} before the pin by {}, {} still are while it lasts; page {} "
      "of the range is the first",
      seen.before, kPagesOfHugePage, forbidden_.name, holder_->name(), seen.left, first);
  finding.evidence["pagemap"] =
      fmt::format("page 0 before: {}\npage {} before: {}\npage {} while it is pinned: {}",
                  describe(built.before.front()), first, describe(built.before[first]), first,
                  describe(seen.first_entry));
  finding.evidence["device"] = "sees what the process writes to that page now";
  finding.evidence["forbidden"] = forbidden_.lists;
  finding.evidence["while the layout was built"] = built.events;
  return finding;
}

std::optional<FindingRecord> PinLayouts::check() {
  Result<KernelCounters> vmstat = read_vmstat();
  if (vmstat) {
    const std::uint64_t moved = value_of(*vmstat, "pgmigrate_success") - moved_before_;
    migrations_.add(moved - std::min(moved, migrations_.value()));
  } else if (!error_) {
    error_ = vmstat.error();
  }
  return std::exchange(finding_, std::nullopt);
}

Result<> PinLayouts::verify_work() {
  if (error_) {
    return tl::make_unexpected(*error_);
  }
  for (const auto& [kind, tally] : tallies_) {
    if (tally.judged.value() == 0) {
      return broken(fmt::format(
          "layout {}: no pin could be judged: built {} times, {} pins refused, {} pins with no "
          "page in {} before{}",
          to_string(kind), tally.built.value(), refused_.value(), unjudged_.value(),
          forbidden_.name, hot_remove_ ? hot_remove_->unjudged() : ""));
    }
  }
  return {};
}

REGISTER_WORKLOAD(PinLayouts);

}  // namespace
}  // namespace mmquake
