// SPDX-License-Identifier: GPL-2.0-or-later
//
// The memory of uffd-thp-wait's variants: how the page is taken away, and how it comes.
#include <fmt/core.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <sys/mman.h>

#include <cerrno>

#include "workloads/uffd/uffd_thp_wait.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25  // 6.1
#endif

namespace mmquake {
namespace {

constexpr std::chrono::seconds kReleaseTime{2};
constexpr std::chrono::seconds kBusyTime{5};  // no page is busy for so long
// While small pages become a huge one the migrator moves some of them, all over it.
constexpr std::size_t kCollapseStep = 8;
constexpr int kCollapseTries = 4;

// Maps anonymous memory anew at its address: what was in it is gone, and so is the table of small
// pages. userfaultfd forgets the range.
Result<> renew(const Mapping& mapping) {
  if (mmap(mapping.data(), mapping.size(), PROT_READ | PROT_WRITE,
           MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED ||
      madvise(mapping.data(), mapping.size(), MADV_HUGEPAGE) != 0) {
    return broken(fmt::format("map {} bytes anew: {}", mapping.size(), errno_text(errno)));
  }
  return {};
}

}  // namespace

Result<> UffdThpWait::map() {
  // No bytes at all: only asks whether the kernel knows the word.
  if (is_collapse() && madvise(nullptr, 0, MADV_COLLAPSE) != 0) {
    return skipped("this kernel has no MADV_COLLAPSE (6.1)");
  }
  if (is_shmem()) {
    if (Result<> set = shmem_.set(); !set) {
      return set;
    }
  }
  Result<Mapping> mapping =
      Mapping::create(is_shmem() ? Backing::kShmemThp : Backing::kAnonThp, kHugePage);
  if (!mapping) {
    return tl::make_unexpected(mapping.error());
  }
  registered_ = std::move(*mapping);
  if (!is_wp()) {
    Result<Mapping> alias =
        is_shmem() ? registered_.alias() : Mapping::create(Backing::kAnonThp, kHugePage);
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
  Result<Userfaultfd> uffd = Userfaultfd::open(is_wp()      ? UFFD_FEATURE_PAGEFAULT_FLAG_WP
                                               : is_shmem() ? UFFD_FEATURE_MISSING_SHMEM
                                               : is_move()  ? Userfaultfd::kFeatureMove
                                                            : 0);
  if (!uffd) {
    return tl::make_unexpected(uffd.error());
  }
  uffd_ = std::move(*uffd);
  return uffd_->register_range(
      registered_.address(), kHugePage,
      is_wp() ? Userfaultfd::Mode::kWriteProtect : Userfaultfd::Mode::kMissing);
}

std::vector<std::uintptr_t> UffdThpWait::targets() const {
  if (is_wp()) {
    return {registered_.address()};
  }
  if (is_move()) {
    return {alias_.address(), registered_.address()};
  }
  if (is_collapse()) {
    std::vector<std::uintptr_t> pages;
    for (std::size_t page = 0; page < kPagesOfHuge; page += kCollapseStep) {
      pages.push_back(registered_.address() + page * kSmallPage);
    }
    return pages;
  }
  // The alias: the registered area is not mapped before the filler has touched it.
  return {alias_.address()};
}

Result<> UffdThpWait::prepare(RoleContext& context) {
  page_ = context.random().below(kPagesOfHuge);
  round_ = context.round();
  if (is_move()) {
    return prepare_move(context.round());
  }
  if (Result<> empty = registered_.discard(0, kHugePage); !empty) {
    return empty;
  }
  if (is_shmem()) {
    return {};
  }
  if (is_collapse()) {
    stamp_alias(context.round() + 1);
    return {};
  }
  words(registered_).filler.store(0);
  return uffd_->write_protect(registered_.address(), kHugePage);
}

// Both areas anew: a page that was split leaves a table behind, over which no huge page comes, and
// into which none is moved as a whole.
Result<> UffdThpWait::prepare_move(std::uint64_t round) {
  if (Result<> fresh = renew(alias_); !fresh) {
    return fresh;
  }
  stamp_alias(round + 1);
  if (Result<> fresh = renew(registered_); !fresh) {
    return fresh;
  }
  return uffd_->register_range(registered_.address(), kHugePage, Userfaultfd::Mode::kMissing);
}

void UffdThpWait::stamp_alias(std::uint64_t stamp) const {
  for (std::size_t page = 0; page < kPagesOfHuge; ++page) {
    words_of(alias_, page).filler.store(stamp);
  }
}

Result<> UffdThpWait::resolve(RoleContext& context) {
  if (is_wp()) {
    return resolve_write_protected(context.round());
  }
  if (is_move()) {
    return resolve_by_move(context);
  }
  return is_collapse() ? resolve_by_collapse(context.round()) : resolve_missing(context.round());
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

// As one piece, or in two with a random border between them, for which the kernel has to split the
// huge page that it may just be moving to another node.
Result<> UffdThpWait::resolve_by_move(RoleContext& context) {
  const std::size_t border =
      context.random().chance(0.5) ? 0 : context.random().below(kPagesOfHuge) * kSmallPage;
  for (const auto& [from, to] : {std::pair{std::size_t{0}, border}, std::pair{border, kHugePage}}) {
    if (Result<> moved = move_part(from, to); !moved) {
      return moved;
    }
  }
  scribble();
  resolved_.announce(context.round());
  return {};
}

// Goes on when the round is to end: the faulter waits for the rest, and the migrator stops.
Result<> UffdThpWait::move_part(std::size_t from, std::size_t to) {
  const auto deadline = RoundSignal::Clock::now() + env_->scaled(kBusyTime);
  while (from < to) {
    const std::uint64_t before = migrations_;
    const Userfaultfd::Moved moved =
        uffd_->move(registered_.address() + from, alias_.address() + from, to - from);
    overlaps_.add(before % 2 == 1 || migrations_ != before ? 1 : 0);
    from += moved.bytes;
    brought_.add(moved.bytes / kSmallPage);
    if (moved.error == 0) {
      continue;
    }
    // The page is locked, isolated, or a migration entry: somebody has it just now.
    const bool busy = moved.error == EAGAIN || moved.error == EBUSY;
    if (!busy || RoundSignal::Clock::now() > deadline) {
      return broken(fmt::format("UFFDIO_MOVE of {} bytes: {}", to - from, errno_text(moved.error)));
    }
    met_.add();
    sched_yield();
  }
  return {};
}

// Small pages, of which MADV_COLLAPSE makes a huge one.
Result<> UffdThpWait::resolve_by_collapse(std::uint64_t round) {
  if (Result<> copied = uffd_->copy(registered_.address(), alias_.address(), kHugePage); !copied) {
    return copied;
  }
  // Refused while the migrator holds one of the pages.
  bool done = false;
  for (int turn = 0; turn < kCollapseTries && !done; ++turn) {
    const std::uint64_t before = migrations_;
    done = madvise(registered_.data(), kHugePage, MADV_COLLAPSE) == 0;
    overlaps_.add(before % 2 == 1 || migrations_ != before ? 1 : 0);
    (done ? collapsed_ : not_collapsed_).add();
  }
  scribble();
  resolved_.announce(round);
  return {};
}

void UffdThpWait::scribble() const {
  if (provoked("scribble")) {
    words_of(registered_, (page_ + 1) % kPagesOfHuge).filler.store(0);
  }
}

}  // namespace mmquake
