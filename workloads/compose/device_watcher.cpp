// SPDX-License-Identifier: GPL-2.0-or-later
//
// A device over a composition's memory: what it reads must be what the CPU may read, whatever
// happens to the pages; and a page that it has pinned stays where it is for as long as the pin
// lasts.
#include <fmt/core.h>
#include <sched.h>

#include <array>

#include "guest/device/dmirror.h"
#include "guest/device/kvm_mirror.h"
#include "guest/device/pinning_device.h"
#include "guest/memory/page_map.h"
#include "guest/race/placement.h"
#include "workloads/compose/watcher.h"
#include "workloads/pin/placement.h"

namespace mmquake {
namespace {

constexpr int kGlances = 4;

// Reads one cell through the device. False: the device refused.
bool glance(ComposeWorld& world, DeviceMirror& device, std::size_t block, std::size_t cell,
            CellLook& look) {
  const CellBook& book = world.area.book(block, cell);
  const EmptyMark& mark = world.area.block(block).mark;
  look = begin_look(book, mark);
  look.copied = true;
  look.by_device = true;
  CellImage image{};
  const auto address = reinterpret_cast<std::uintptr_t>(world.area.at(block, cell));
  if (!device.read(address, image.data(), kCellBytes)) {
    return false;
  }
  end_look(look, image, book, mark);
  return true;
}

class DeviceWatcher : public Watcher {
 public:
  Result<> watch(ComposeWorld& world, RoleContext& context,
                 const std::function<bool()>& /*users_left*/) override {
    while (!context.stopping() && world.book->deeds_done.load() < world.deeds) {
      const std::size_t block = context.random().below(kBlocks);
      const Inside inside(world.area.block(block).door);
      if (inside) {
        if (Result<> looked = look(world, context, block); !looked) {
          return looked;
        }
      }
      context.step();
      sched_yield();
    }
    return {};
  }

 protected:
  virtual Result<> look(ComposeWorld& world, RoleContext& context, std::size_t block) = 0;
  void count(ComposeWorld& world) {
    seen_ = world.env->counter("device_reads");
    refused_ = world.env->counter("device_refusals");
  }
  Counter seen_, refused_;
};

// Follows the page tables: at any time it sees what the CPU sees.
class MirrorWatcher final : public DeviceWatcher {
 public:
  explicit MirrorWatcher(std::string_view name) : name_(name) {}
  Result<> prepare(ComposeWorld& world) override {
    count(world);
    Result<std::unique_ptr<DeviceMirror>> opened;
    if (name_ == "dmirror") {
      opened = Dmirror::open();
    } else {
      opened = KvmMirror::create(world.area.address(), world.area.size());
    }
    if (!opened) {
      return tl::make_unexpected(opened.error());
    }
    device_ = std::move(*opened);
    return {};
  }

 private:
  Result<> look(ComposeWorld& world, RoleContext& context, std::size_t block) override {
    for (int i = 0; i < kGlances; ++i) {
      const std::size_t cell = context.random().below(kCellsPerBlock);
      CellLook look;
      if (!glance(world, *device_, block, cell, look)) {
        refused_.add();
        continue;
      }
      seen_.add();
      if (auto damage = world.area.judge(block, cell, look, name_, context.round())) {
        world.book->damage.put(*damage);
      }
    }
    return {};
  }

  std::string name_;
  std::unique_ptr<DeviceMirror> device_;
};

// Holds references: what it sees is the CPU's for as long as nobody empties the block.
class PinWatcher final : public DeviceWatcher {
 public:
  explicit PinWatcher(std::string_view name) : name_(name) {}
  Result<> prepare(ComposeWorld& world) override {
    count(world);
    pins_ = world.env->counter("pins");
    Result<std::unique_ptr<PinningDevice>> opened = open_pinning_device(name_);
    if (!opened) {
      return tl::make_unexpected(opened.error());
    }
    device_ = std::move(*opened);
    if (!device_->long_term()) {
      return {};
    }
    // A machine without ZONE_MOVABLE has nothing to look for.
    Result<Forbidden> movable = read_forbidden("movable");
    if (movable) {
      movable_ = std::move(*movable);
    } else if (movable.error().kind != ErrorKind::kSkipped) {
      return tl::make_unexpected(movable.error());
    }
    return {};
  }

 private:
  static constexpr std::size_t kPinnedCells = 4;
  static constexpr std::uint64_t kPauseUs = 40000;

  Result<> look(ComposeWorld& world, RoleContext& context, std::size_t block) override {
    Random& random = context.random();
    const bool whole = random.chance(0.2);
    const std::size_t first = whole ? 0 : random.below(kCellsPerBlock - kPinnedCells + 1);
    const std::size_t bytes = (whole ? kBlockPages : kPinnedCells * kPageStride) * kSmallPage;
    const std::uintptr_t address =
        world.area.block_address(block) + Area::page_of(first) * kSmallPage;
    Result<PageMap> map = PageMap::open_self();
    if (!map) {
      return tl::make_unexpected(map.error());
    }
    // Only what is true from before the pin on is held against the kernel.
    const BlockBook& book = world.area.block(block);
    const EmptyState state = book.mark.state();
    const std::uint64_t drops = book.idle_drops.load();
    if (device_->pin(address, bytes) != 0) {
      refused_.add();
      return {};
    }
    pins_.add();
    Result<std::vector<PageEntry>> before = map->range(address, bytes);
    for (int i = 0; i < kGlances && !state.at_work(); ++i) {
      judge_glance(world, context, block, first + random.below(kPinnedCells), state);
      sched_yield();
    }
    Result<std::vector<PageEntry>> after = map->range(address, bytes);
    const bool untouched = !state.at_work() && book.mark.state() == state;
    Result<> judged;
    if (before && after && untouched && device_->long_term()) {
      // Every page if none was dropped, else those with a cell alone.
      const bool all = drops % 2 == 0 && book.idle_drops.load() == drops;
      judged = judge_places(world, all ? 1 : kPageStride, *before, *after);
    }
    Result<> unpinned = device_->unpin();
    if (!judged) {
      return judged;
    }
    if (world.area.is_one_page()) {
      // Each pin is on the one page: without a pause nothing would ever move.
      delay(std::chrono::microseconds(random.below(kPauseUs)));
    }
    return unpinned;
  }

  void judge_glance(ComposeWorld& world, RoleContext& context, std::size_t block, std::size_t cell,
                    EmptyState pinned_at) {
    CellLook look;
    if (!glance(world, *device_, block, cell, look)) {
      refused_.add();
      return;
    }
    seen_.add();
    // Emptied since: the device has the old page, rightly. Before its first write a private page
    // may be the zero page, which a pin for reading holds.
    if (look.look_after != pinned_at || look.oldest == 0) {
      return;
    }
    if (auto damage = world.area.judge(block, cell, look, name_, context.round())) {
      world.book->damage.put(*damage);
    }
  }

  Result<> judge_places(ComposeWorld& world, std::size_t step, const std::vector<PageEntry>& before,
                        const std::vector<PageEntry>& after) const {
    std::string replaced, forbidden;  // the first of each
    std::size_t looked = 0, moved = 0, first_forbidden = 0;
    for (std::size_t page = 0; page < before.size(); page += step) {
      const std::uint64_t pfn = after[page].pfn();
      if (before[page].pfn() == 0 || pfn == 0) {
        continue;  // not mapped at that moment
      }
      ++looked;
      const std::string where =
          fmt::format("by {}, page {} of the pinned range of {}\nbefore: {}\nafter:  {}\n", name_,
                      page, world.area.word(), describe(before[page]), describe(after[page]));
      if (before[page].pfn() != pfn) {
        ++moved;
        replaced = replaced.empty() ? where : replaced;
      } else if (movable_ && movable_->holds(pfn)) {
        // Nobody emptied or dropped it since before the pin: it is the pinned page.
        first_forbidden = forbidden.empty() ? page : first_forbidden;
        forbidden = forbidden.empty() ? where : forbidden;
      }
    }
    if (!replaced.empty()) {
      world.book->misplaced.put(fmt::format("a pinned page was replaced in {}\n{}{} of {} pages\n",
                                            world.area.word(), replaced, moved, looked));
    } else if (!forbidden.empty()) {
      Result<bool> behind = behind_a_large_folio(after, first_forbidden);
      if (!behind) {
        return tl::make_unexpected(behind.error());
      }
      world.book->misplaced.put(fmt::format("a page {}is pinned for long in ZONE_MOVABLE\n{}{}",
                                            *behind ? "behind a large folio " : "", forbidden,
                                            movable_->lists));
    }
    return {};
  }

  // Who pins looks at one page of each folio. So whether it has lost its way at the end of one, or
  // left everything where it was, are two bugs.
  static Result<bool> behind_a_large_folio(const std::vector<PageEntry>& pages, std::size_t page) {
    Result<PageFlags> flags = PageFlags::open();
    if (!flags) {
      return tl::make_unexpected(flags.error());
    }
    for (std::size_t i = 0; i < page; ++i) {
      if (pages[i].pfn() == 0) {
        continue;
      }
      Result<std::uint64_t> of_page = flags->of(pages[i].pfn());
      if (!of_page) {
        return tl::make_unexpected(of_page.error());
      }
      if (has_flag(*of_page, kKpfCompoundHead) || has_flag(*of_page, kKpfCompoundTail)) {
        return true;
      }
    }
    return false;
  }

  std::string name_;
  std::unique_ptr<PinningDevice> device_;
  std::optional<Forbidden> movable_;
  Counter pins_;
};

}  // namespace

std::unique_ptr<Watcher> make_watcher(std::string_view name) {
  if (name == "dmirror" || name == "kvm") return std::make_unique<MirrorWatcher>(name);
  if (name == "io_uring" || name == "rxe" || name == "gup_test-hold" || name == "vmsplice") {
    return std::make_unique<PinWatcher>(name);
  }
  return make_uffd_watcher(name);
}

}  // namespace mmquake
