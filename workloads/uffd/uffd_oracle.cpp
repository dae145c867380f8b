// SPDX-License-Identifier: GPL-2.0-or-later
//
// What uffd-thp-wait holds against the kernel, and what it does not.
#include <fmt/core.h>

#include <algorithm>

#include "guest/runner/host_look.h"
#include "workloads/uffd/uffd_thp_wait.h"

namespace mmquake {
namespace {

constexpr std::chrono::seconds kReleaseTime{2};
constexpr std::chrono::seconds kComingTime{5};
constexpr const char* kOtherBytes = "a page that userfaultfd brought holds other bytes";

FindingRecord corruption(const char* title, std::string evidence) {
  FindingRecord finding;
  finding.kind = "corruption";
  finding.title = title;
  finding.role = "faulter";
  finding.evidence["values"] = std::move(evidence);
  return finding;
}

}  // namespace

std::optional<FindingRecord> UffdThpWait::check_words(std::uint64_t stamp) {
  const std::uint64_t filler = words(registered_).filler.load();
  const std::uint64_t faulter = is_wp() ? words(registered_).faulter.load() : seen_.load();
  if (is_shmem() && faulter == 0) {
    zero_reads_.add();  // it may have read before the filler's store
  }
  const bool filler_ok = filler == stamp || provoked("wp-no-write");
  if (filler_ok && (faulter == stamp || (is_shmem() && faulter == 0))) {
    return std::nullopt;
  }
  FindingRecord finding;
  finding.kind = "corruption";
  finding.title = is_wp()      ? "a write to a migrated page is lost"
                  : is_shmem() ? "a hole reads as old data"
                               : kOtherBytes;
  finding.role = "faulter";
  finding.evidence["values"] =
      fmt::format("expected {}; the filler's word is {}, the faulter's {}", stamp, filler, faulter);
  return finding;
}

// No role runs, so no page is on its way. A page that is not there must not be read: the fault
// would wait for userfaultfd.
Result<std::optional<FindingRecord>> UffdThpWait::check_all_pages(std::uint64_t stamp) {
  const Result<PageMap> pagemap = PageMap::open_self();
  if (!pagemap) {
    return tl::make_unexpected(pagemap.error());
  }
  const Result<std::vector<PageEntry>> here = pagemap->range(registered_.address(), kHugePage);
  const Result<std::vector<PageEntry>> there = pagemap->range(alias_.address(), kHugePage);
  if (!here || !there) {
    return tl::make_unexpected(here ? there.error() : here.error());
  }
  for (std::size_t page = 0; page < kPagesOfHuge; ++page) {
    const PageEntry entry = here->at(page);
    if (!entry.present() && !entry.swapped()) {
      return corruption("a page that userfaultfd brought is gone",
                        fmt::format("page {}: {}", page, describe(entry)));
    }
    const std::uint64_t seen = words_of(registered_, page).filler.load();
    if (seen != stamp) {
      return corruption(kOtherBytes, fmt::format("page {}: expected {}, seen {}; {}", page, stamp,
                                                 seen, describe(entry)));
    }
    const PageEntry left = there->at(page);
    if (is_move() && (left.present() || left.swapped())) {
      return corruption("a page that was moved is still where it was",
                        fmt::format("page {}: {}", page, describe(left)));
    }
  }
  return std::nullopt;
}

std::optional<std::string> UffdThpWait::why_innocent(PageEntry entry) const {
  const std::uint64_t round = round_;
  if (!faulting_.announced(round)) {
    return "the faulter was not released";
  }
  if (!resolved_.announced(round)) {
    return is_wp()      ? "nobody has written since the un-protect"
           : is_shmem() ? "nobody has touched the registered area"
                        : "the page has not come";
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
  take(prepared_, is_wp() ? "huge page write-protected" : "no page");
  take(faulting_, "faulter goes to its fault");
  take(event_, "monitor reads the fault event");
  take(resolved_, is_wp()      ? "un-protected with DONTWAKE, then written"
                  : is_shmem() ? "filled through the alias, then touched in the registered area"
                  : is_move()  ? "moved into the registered area"
                               : "copied into the registered area, then MADV_COLLAPSE");
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
  let_host_look();
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
  if (failed_) {
    uffd_.reset();  // nobody brings the page any more: without userfaultfd the fault gives one
    return finished_.await_until(round_, RoundSignal::Clock::now() + env_->scaled(kComingTime));
  }
  // The page may be coming still: then there is nothing to wake the faulter for.
  if (!woken_.announced(round_) && !provoked("no-wake")) {
    finished_.await_until(round_, RoundSignal::Clock::now() + env_->scaled(kComingTime));
  }
  return finished_.announced(round_) || release().has_value();
}

}  // namespace mmquake
