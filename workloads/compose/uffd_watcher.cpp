// SPDX-License-Identifier: GPL-2.0-or-later
//
// userfaultfd over a composition's memory. MISSING: each page that is not there comes by
// UFFDIO_COPY of zeros. A fault on a page that is there is answered with EEXIST and nothing else,
// as monitors rightly do: the kernel looks again after it has queued a waiter. WP: blocks are
// protected now and then; a write to a protected page that the handler is never told of is lost to
// a snapshot. MINOR (shared memory; Documentation/admin-guide/mm/userfaultfd.rst): blocks are
// unmapped now and then, by MADV_DONTNEED, which leaves their pages in the file. Who touches one
// waits until UFFDIO_CONTINUE maps it; so whoever brings pages to this file first has a say in what
// is read here, and a page that is mapped without the handler's knowledge went past him.
#include <fmt/core.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include "guest/memory/kernel_quirks.h"
#include "guest/memory/userfaultfd.h"
#include "workloads/compose/watcher.h"

namespace mmquake {
namespace {

constexpr int kPollMs = 5;
// Huge pages must be there before the area is registered: a registered one gets small pages only.
constexpr std::uint64_t kRegisterInRound = 2;

class UffdWatcher : public Watcher {
 public:
  // Who fails must not leave anyone waiting for him: closing lets all go, and unregisters.
  Result<> watch(ComposeWorld& world, RoleContext& context,
                 const std::function<bool()>& users_left) override {
    if (!uffd_) {
      return {};  // it has failed before, and said so
    }
    Result<> served = serve_all(world, context, users_left);
    if (!served) {
      uffd_.reset();
    }
    return served;
  }
  bool rescue(ComposeWorld& world) override {
    return uffd_ && uffd_->wake(world.area.address(), world.area.size()).has_value();
  }

 protected:
  Result<> serve_all(ComposeWorld& world, RoleContext& context,
                     const std::function<bool()>& users_left) {
    if (!registered_ && context.round() >= kRegisterInRound) {
      if (Result<> done = uffd_->register_range(world.area.address(), world.area.size(), mode());
          !done) {
        return done;
      }
      registered_ = true;
    }
    while (users_left()) {
      pollfd ready{uffd_->fd(), POLLIN, 0};
      poll(&ready, 1, kPollMs);
      Result<std::vector<FaultEvent>> events = uffd_->read_events();
      if (!events) {
        return tl::make_unexpected(events.error());
      }
      for (const FaultEvent& event : *events) {
        events_.add();
        if (Result<> served = serve(world, event); !served) {
          return served;
        }
      }
      if (Result<> done = between(world, context); !done) {
        return done;
      }
      context.step();
    }
    return {};
  }
  Result<> open(ComposeWorld& world, std::uint64_t features) {
    Result<Userfaultfd> opened = Userfaultfd::open(features);
    if (!opened) {
      return tl::make_unexpected(opened.error());
    }
    uffd_ = std::move(*opened);
    events_ = world.env->counter("uffd_events");
    return {};
  }
  // The handler was told of a fault: on this page of the one block, or on all of the stretch.
  static void note_report(const Area& area, const Stretch& stretch,
                          std::optional<std::size_t> page) {
    for (std::size_t block = stretch.first; block < stretch.end; ++block) {
      BlockBook& book = area.block(block);
      for (std::size_t cell = 0; cell < kCellsPerBlock; ++cell) {
        if (!page || Area::page_of(cell) == *page) {
          book.reported[cell].store(book.guards.load());
        }
      }
    }
  }
  virtual Userfaultfd::Mode mode() const = 0;
  virtual Result<> serve(ComposeWorld& world, const FaultEvent& event) = 0;
  virtual Result<> between(ComposeWorld& /*world*/, RoleContext& /*context*/) { return {}; }
  bool registered() const { return registered_; }

  std::optional<Userfaultfd> uffd_;

 private:
  bool registered_ = false;
  Counter events_;
};

class MissingWatcher final : public UffdWatcher {
 public:
  Result<> prepare(ComposeWorld& world) override {
    page_ = world.area.page_bytes();
    Result<Mapping> zeros = Mapping::create(Backing::kAnon4k, page_);
    if (!zeros) {
      return tl::make_unexpected(zeros.error());
    }
    zeros_ = std::move(*zeros);
    there_ = world.env->counter("uffd_events_of_present_pages");
    return open(world, 0);
  }
  bool serves_faults() const override { return registered(); }

 private:
  Userfaultfd::Mode mode() const override { return Userfaultfd::Mode::kMissing; }
  // A process that is not registered may have brought a file's page meanwhile: then nothing is
  // mapped here, the kernel rightly goes on waiting, and who has the EEXIST has to wake it.
  Result<> serve(ComposeWorld& world, const FaultEvent& event) override {
    const std::uintptr_t to = event.address / page_ * page_;
    int error = EAGAIN;
    // EAGAIN: the address space changes. ENOMEM, of hugetlb: its page is about to come back.
    for (int i = 0; i < kTries && (error == EAGAIN || error == ENOMEM); ++i) {
      error = uffd_->serve(to, zeros_.address(), page_);
      if (error != 0) {
        sched_yield();
      }
    }
    there_.add(error == EEXIST ? 1 : 0);
    if (error == EEXIST && world.area.is_shared()) {
      return uffd_->wake(to, page_);
    }
    return error == 0 || error == EEXIST
               ? Result<>()
               : broken(fmt::format("UFFDIO_COPY to {:#x}: {}", to, errno_text(error)));
  }

  static constexpr int kTries = 2000;

  std::size_t page_ = kSmallPage;
  Mapping zeros_;
  Counter there_;
};

// Serving and protecting are one thread's, so that a report belongs to one protection.
class WpWatcher final : public UffdWatcher {
 public:
  Result<> prepare(ComposeWorld& world) override {
    keeps_silent_ = world.env->param("provoke") == "unreported";
    all_is_reported_ =
        world.area.backing() != Backing::kShmemThp || !uffd_wp_misses_huge_files(kernel_release());
    protected_ = world.env->counter("uffd_protections");
    refused_ = world.env->counter("uffd_protections_refused");
    return open(world, UFFD_FEATURE_PAGEFAULT_FLAG_WP |
                           (world.area.is_shared() ? Userfaultfd::kFeatureWpFiles : 0));
  }

  std::uint64_t before_write(const BlockBook& book) const override { return book.guards.load(); }

  std::optional<std::string> wrote(const Area& area, std::size_t block, std::size_t cell,
                                   std::uint64_t before) const override {
    BlockBook& book = area.block(block);
    // What was not there when its block was protected is not protected, so the first write to a
    // page opens its account: two protections later it was there at the start of the last one.
    if (book.written_since[cell].load() == 0) {
      book.written_since[cell].store(book.guards.load() + 1);
      return std::nullopt;
    }
    if (!all_is_reported_ || before < book.written_since[cell].load() + 1 ||
        book.reported[cell].load() >= before) {
      return std::nullopt;
    }
    return fmt::format(
        "a write to a write-protected page was not reported\n"
        "page {} of a block: written after protection {}, last report in {}, first write in {}\n",
        Area::page_of(cell), before, book.reported[cell].load(),
        book.written_since[cell].load() - 1);
  }

 private:
  Userfaultfd::Mode mode() const override { return Userfaultfd::Mode::kWriteProtect; }

  Result<> serve(ComposeWorld& world, const FaultEvent& event) override {
    const std::size_t offset = event.address - world.area.address();
    const std::size_t block = offset / world.area.stride();
    const std::size_t page = offset % world.area.stride() / kSmallPage;
    // By turns, since a part of a huge page is another path of the kernel than the whole.
    whole_next_ = !whole_next_;
    const bool all = world.area.is_hugetlb() || whole_next_;
    const Stretch stretch = world.area.stretch(block);
    if (!keeps_silent_) {
      note_report(world.area, stretch, all ? std::nullopt : std::optional(page));
    }
    const auto address = reinterpret_cast<std::uintptr_t>(stretch.at);
    if (all && uffd_->write_unprotect(address, stretch.bytes, true)) {
      return {};
    }
    // The range must lie in one VMA, which mprotect() of a page cuts in two for a moment.
    if (world.area.is_hugetlb()) {
      return broken("UFFDIO_WRITEPROTECT of a hugetlb page failed");
    }
    return uffd_->write_unprotect(event.address / kSmallPage * kSmallPage, kSmallPage, true);
  }

  Result<> between(ComposeWorld& world, RoleContext& context) override {
    if (!registered() || context.stopping() || !context.random().chance(kProtect)) {
      return {};
    }
    const Stretch stretch = world.area.stretch(context.random().below(kBlocks));
    if (!uffd_->write_protect(reinterpret_cast<std::uintptr_t>(stretch.at), stretch.bytes)) {
      refused_.add();  // not in one VMA just now: nothing is protected
      return {};
    }
    for (std::size_t block = stretch.first; block < stretch.end; ++block) {
      world.area.block(block).guards.fetch_add(1);
    }
    protected_.add();
    return {};
  }

  static constexpr double kProtect = 0.3;
  bool whole_next_ = false;
  bool keeps_silent_ = false;  // provoked: as if the kernel had not told
  bool all_is_reported_ = true;
  Counter protected_, refused_;
};

// One thread unmaps, is told and maps: what is told after an unmapping belongs to it.
class MinorWatcher final : public UffdWatcher {
 public:
  Result<> prepare(ComposeWorld& world) override {
    const bool hugetlb = world.area.is_hugetlb();
    page_ = world.area.page_bytes();
    const std::string provoke = world.env->param("provoke");
    keeps_silent_ = provoke == "unreported";
    never_answers_ = provoke == "unanswered";
    spoils_ = provoke == "continue-other";
    // MADV_COLLAPSE maps a whole huge page, and asks nobody.
    asked_for_each_ = !world.composition.disturbed_by("collapse");
    unmapped_ = world.env->counter("uffd_blocks_unmapped");
    mapped_ = world.env->counter("uffd_pages_continued");
    gone_ = world.env->counter("uffd_events_of_absent_pages");
    there_ = world.env->counter("uffd_events_of_present_pages");
    return open(world, hugetlb ? UFFD_FEATURE_MINOR_HUGETLBFS : UFFD_FEATURE_MINOR_SHMEM);
  }
  bool serves_faults() const override { return registered(); }

  std::uint64_t before_write(const BlockBook& book) const override { return book.guards.load(); }

  // Only a page that was in the file at the last unmapping has to be asked for. It was, if a write
  // before that unmapping and this one lie in one and the same quiet time of the block.
  std::optional<std::string> wrote(const Area& area, std::size_t block, std::size_t cell,
                                   std::uint64_t before) const override {
    BlockBook& book = area.block(block);
    const CellBook& written = area.book(block, cell);
    const EmptyState state(written.seen_after.load());
    if (state.at_work() || written.seen_before.load() != state.raw()) {
      book.written_since[cell].store(0);
      return std::nullopt;
    }
    if (book.written_since[cell].load() == 0 || book.written_in[cell].load() != state.raw()) {
      book.written_since[cell].store(book.guards.load() + 1);
      book.written_in[cell].store(state.raw());
      return std::nullopt;
    }
    if (!asked_for_each_ || before < book.written_since[cell].load() + 1 ||
        book.reported[cell].load() >= before) {
      return std::nullopt;
    }
    return fmt::format(
        "an unmapped page of a file was mapped without its handler\n"
        "page {} of block {} of {}: written after unmapping {}, last report in {}, in the file "
        "since {}\n",
        Area::page_of(cell), block, area.word(), before, book.reported[cell].load(),
        book.written_since[cell].load() - 1);
  }

 private:
  Userfaultfd::Mode mode() const override { return Userfaultfd::Mode::kMinor; }

  Result<> serve(ComposeWorld& world, const FaultEvent& event) override {
    const std::size_t offset = event.address - world.area.address();
    const std::size_t block = offset / world.area.stride();
    const std::size_t page = offset % world.area.stride() / kSmallPage;
    // By turns: the page alone, or all of the block that is there.
    all_next_ = !all_next_;
    const bool all = page_ != kSmallPage || all_next_;
    const Stretch stretch = world.area.stretch(block);
    if (!keeps_silent_) {
      note_report(world.area, stretch, all ? std::nullopt : std::optional(page));
    }
    if (never_answers_ && unmapped_.value() > 0) {
      return {};
    }
    if (spoils_ && page_ == kSmallPage && page % kPageStride == 0) {
      spoil(world, block, page / kPageStride);
    }
    if (Result<> done = map(event.address / page_ * page_, page_); !done || !all) {
      return done;
    }
    return map(reinterpret_cast<std::uintptr_t>(stretch.at), stretch.bytes);
  }

  // What is mapped already, or has left the file meanwhile, is the fault's own affair when it is
  // tried again; the kernel wakes nobody for it.
  Result<> map(std::uintptr_t address, std::size_t bytes) {
    std::size_t done = 0;
    for (int tries = 0; done < bytes;) {
      const Userfaultfd::Moved moved = uffd_->map_cached(address + done, bytes - done);
      done += moved.bytes;
      mapped_.add(moved.bytes / page_);
      if (moved.bytes > 0) {
        continue;
      }
      if (moved.error == EEXIST || moved.error == EFAULT) {
        (moved.error == EEXIST ? there_ : gone_).add(bytes == page_ ? 1 : 0);
        done += page_;
      } else if (moved.error == ENOENT && bytes > page_) {
        break;  // not in one VMA just now, which mprotect() of a page cuts in two for a moment
      } else if ((moved.error != EAGAIN && moved.error != ENOMEM) || ++tries > kTries) {
        return broken(
            fmt::format("UFFDIO_CONTINUE of {:#x}: {}", address + done, errno_text(moved.error)));
      } else {
        sched_yield();
      }
    }
    return uffd_->wake(address, bytes);
  }

  // Provoked: as if the kernel had mapped another page than the file's.
  static void spoil(const ComposeWorld& world, std::size_t block, std::size_t cell) {
    const Area& area = world.area;
    const CellImage other = make_cell({7, 7, 7}, 1);
    const auto offset =
        static_cast<off_t>(area.file_offset(block) +
                           static_cast<std::size_t>(area.at(block, cell) - area.page_at(block, 0)));
    (void)!pwrite(area.fd(), other.data(), kCellBytes, offset);
  }

  Result<> between(ComposeWorld& world, RoleContext& context) override {
    Random& random = context.random();
    if (!registered() || context.stopping() || !random.chance(kUnmap)) {
      return {};
    }
    const std::size_t block = random.below(kBlocks);
    const Inside inside(world.area.block(block).door);
    if (!inside) {
      return {};
    }
    // A page of a huge one takes another path of the kernel than the whole.
    const bool whole = page_ != kSmallPage || random.chance(0.7);
    const std::size_t page = Area::page_of(random.below(kCellsPerBlock));
    const Stretch stretch = world.area.stretch(block);
    void* at = whole ? stretch.at : world.area.page_at(block, page);
    if (madvise(at, whole ? stretch.bytes : kSmallPage, MADV_DONTNEED) != 0) {
      return {};  // locked just now
    }
    for (std::size_t gone = stretch.first; whole && gone < stretch.end; ++gone) {
      world.area.block(gone).guards.fetch_add(1);
    }
    unmapped_.add(whole ? 1 : 0);
    return {};
  }

  static constexpr double kUnmap = 0.3;
  static constexpr int kTries = 2000;
  std::size_t page_ = kSmallPage;
  bool all_next_ = false, asked_for_each_ = true;
  bool keeps_silent_ = false, never_answers_ = false, spoils_ = false;
  Counter unmapped_, mapped_, gone_, there_;
};

}  // namespace

std::unique_ptr<Watcher> make_uffd_watcher(std::string_view name) {
  if (name == "uffd-missing") return std::make_unique<MissingWatcher>();
  if (name == "uffd-wp") return std::make_unique<WpWatcher>();
  if (name == "uffd-minor") return std::make_unique<MinorWatcher>();
  return nullptr;
}

}  // namespace mmquake
