// SPDX-License-Identifier: GPL-2.0-or-later
//
// What happens to the memory of a composition beside its migration, and leaves its content alone.
#include <fmt/core.h>
#include <sys/mman.h>
#include <sys/swap.h>

#include <atomic>
#include <cerrno>
#include <memory>

#include "workloads/compose/deed.h"
#include "workloads/split/split_command.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

namespace mmquake {
namespace {

constexpr int kDontUnmap = 4;  // MREMAP_DONTUNMAP, which the C library may be too old for

// A system call on a block, or a part of one, that others use meanwhile.
class OnBlock final : public Deed {
 public:
  using Call = int (*)(const Stretch& stretch,
                       Random& random);  // as a system call: 0, or -1 and errno
  explicit OnBlock(Call call) : call_(call) {}
  Result<Act> act(ComposeWorld& world, RoleContext& context) override {
    Random& random = context.random();
    const std::size_t block = random.below(kBlocks);
    // Its address must stay for as long as the call lasts.
    const Inside inside(world.area.block(block).door);
    return inside && call_(world.area.stretch(block), random) == 0 ? Act::kDone : Act::kRefused;
  }

 private:
  Call call_;
};

void* idle_page(void* block, Random& random) {
  return static_cast<std::byte*>(block) + Area::idle_page(random) * kSmallPage;
}

int change_protection(const Stretch& stretch, Random& /*random*/) {
  return mprotect(stretch.at, stretch.bytes, PROT_READ | PROT_WRITE | PROT_EXEC) == 0
             ? mprotect(stretch.at, stretch.bytes, PROT_READ | PROT_WRITE)
             : -1;
}

int protect_a_page(const Stretch& stretch, Random& random) {
  void* page = idle_page(stretch.at, random);
  return mprotect(page, kSmallPage, PROT_READ) == 0
             ? mprotect(page, kSmallPage, PROT_READ | PROT_WRITE)
             : -1;
}

int lock_and_unlock(const Stretch& stretch, Random& /*random*/) {
  const int locked = mlock(stretch.at, stretch.bytes);
  return munlock(stretch.at, stretch.bytes) == 0 ? locked : -1;
}

int page_out(const Stretch& stretch, Random& /*random*/) {
  return madvise(stretch.at, stretch.bytes, MADV_PAGEOUT);
}

int make_cold(const Stretch& stretch, Random& /*random*/) {
  return madvise(stretch.at, stretch.bytes, MADV_COLD);
}

int collapse(const Stretch& stretch, Random& /*random*/) {
  return madvise(stretch.at, stretch.bytes, MADV_COLLAPSE);
}

class DropIdlePage final : public Deed {
 public:
  Result<Act> act(ComposeWorld& world, RoleContext& context) override {
    Random& random = context.random();
    const std::size_t block = random.below(kBlocks);
    BlockBook& book = world.area.block(block);
    const Inside inside(book.door);
    if (!inside) {
      return Act::kRefused;
    }
    auto* page = static_cast<std::byte*>(idle_page(world.area.page_at(block, 0), random));
    book.idle_drops.fetch_add(1);
    const int result = madvise(page, kSmallPage, MADV_DONTNEED);
    if (random.chance(0.5)) {
      // A small page comes between those of the huge one.
      std::atomic_ref(*page).store(std::byte{1});
    }
    book.idle_drops.fetch_add(1);
    return result == 0 ? Act::kDone : Act::kRefused;
  }
};

class Split final : public Deed {
 public:
  Result<> prepare(ComposeWorld& /*world*/) override { return command_.open(); }
  Result<Act> act(ComposeWorld& world, RoleContext& context) override {
    Random& random = context.random();
    const std::size_t block = random.below(kBlocks);
    Result<> split;
    if (world.area.is_shared() && random.chance(0.5)) {
      split = command_.split_file(world.area.fd(), world.area.file_offset(block) / kSmallPage);
    } else {
      split = command_.split(world.area.block_address(block), kHugePage);
    }
    return split ? Act::kDone : Act::kRefused;
  }

 private:
  SplitCommand command_;
};

class SwapOff final : public Deed {
 public:
  Result<Act> act(ComposeWorld& world, RoleContext& context) override {
    const std::size_t block = context.random().below(kBlocks);
    if (const Inside inside(world.area.block(block).door); inside) {
      madvise(world.area.page_at(block, 0), kHugePage, MADV_PAGEOUT);
    }
    context.step();
    const std::string& device = world.swap_device;
    if (swapoff(device.c_str()) != 0) {
      return Act::kRefused;
    }
    return swapon(device.c_str(), 0) == 0
               ? Result<Act>(Act::kDone)
               : Result<Act>(broken(fmt::format("swapon {}: {}", device, errno_text(errno))));
  }
};

// Only the old address is ever used by others. MREMAP_DONTUNMAP leaves both areas mapped, so that
// no hole comes into being which another thread's malloc() could take.
class Mremap final : public Deed {
 public:
  Result<> prepare(ComposeWorld& world) override {
    Result<Mapping> room = Mapping::create(world.area.backing(), kHugePage);
    if (!room) {
      return tl::make_unexpected(room.error());
    }
    room_ = std::move(*room);
    return {};
  }

  Result<Act> act(ComposeWorld& world, RoleContext& context) override {
    const std::size_t block = context.random().below(kBlocks);
    BlockDoor& door = world.area.block(block).door;
    if (!door.shut(context)) {
      return Act::kRefused;
    }
    void* home = world.area.page_at(block, 0);
    Result<Act> result = Act::kDone;
    void* away = mremap(home, kHugePage, kHugePage, kFlags, room_.data());
    if (away == MAP_FAILED) {
      result = Act::kRefused;
    } else if (mremap(away, kHugePage, kHugePage, kFlags, home) == MAP_FAILED) {
      return broken(fmt::format("mremap back: {}", errno_text(errno)));  // nobody may use the block
    }
    door.open();
    return result;
  }

 private:
  static constexpr int kFlags = MREMAP_MAYMOVE | MREMAP_FIXED | kDontUnmap;
  Mapping room_;
};

}  // namespace

std::unique_ptr<Deed> make_disturber(std::string_view name) {
  const auto on_block = [](OnBlock::Call call) { return std::make_unique<OnBlock>(call); };
  if (name == "split-debugfs") return std::make_unique<Split>();
  if (name == "split-dontneed") return std::make_unique<DropIdlePage>();
  if (name == "mprotect") return on_block(change_protection);
  if (name == "mprotect-page") return on_block(protect_a_page);
  if (name == "mlock") return on_block(lock_and_unlock);
  if (name == "pageout") return on_block(page_out);
  if (name == "cold") return on_block(make_cold);
  if (name == "collapse") return on_block(collapse);
  if (name == "swapoff") return std::make_unique<SwapOff>();
  if (name == "mremap") return std::make_unique<Mremap>();
  if (name == "fork-cow") return make_fork_cow();
  if (name == "ptrace") return make_debugger();
  if (std::unique_ptr<Deed> emptier = make_emptier(name)) return emptier;
  return make_reader(name);
}

}  // namespace mmquake
