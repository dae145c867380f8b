// SPDX-License-Identifier: GPL-2.0-or-later
//
// What moves the pages of a composition. Whether they moved is for the kernel's own counts to say
// (compose.cpp reads pgmigrate_success).
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "guest/memory/kernel_quirks.h"
#include "guest/memory/memory_block.h"
#include "guest/memory/numa.h"
#include "guest/memory/text_file.h"
#include "guest/memory/zone_map.h"
#include "workloads/compose/deed.h"

#ifndef MADV_SOFT_OFFLINE
#define MADV_SOFT_OFFLINE 101
#endif

namespace mmquake {
namespace {

int draw_node(const ComposeWorld& world, Random& random) {
  return world.nodes[random.below(world.nodes.size())];
}

std::string list_of(const std::vector<int>& numbers) {
  return fmt::format("{}", fmt::join(numbers, ","));
}

// One block's pages, to one node or each to any.
class MovePages final : public Deed {
 public:
  explicit MovePages(int process) : process_(process) {}
  int process() const override { return process_; }
  Result<Act> act(ComposeWorld& world, RoleContext& context) override {
    Random& random = context.random();
    std::vector<std::uintptr_t> pages = world.area.pages(random.below(kBlocks));
    if (world.area.is_one_page()) {
      // Each further address could move the page once more, and each time takes seconds. For one
      // that is not the page's first, 6.1 does nothing.
      pages = {random.chance(0.8) ? world.area.address() : pages[random.below(pages.size())]};
    }
    std::vector<int> nodes(pages.size(), draw_node(world, random));
    for (int& node : nodes) {
      node = random.chance(0.1) ? draw_node(world, random) : node;
    }
    const int pid = process_ == 0 ? 0 : world.book->pids[0].load();
    if (pid == 0 && process_ != 0) {
      return Act::kRefused;  // it has not begun yet
    }
    const MoveResult moved = move_pages_to(pid, pages, nodes);
    return moved.returned == 0 ? Act::kDone : Act::kRefused;
  }

 private:
  int process_;
};

class Mbind final : public Deed {
 public:
  Result<Act> act(ComposeWorld& world, RoleContext& context) override {
    Random& random = context.random();
    const Stretch stretch = world.area.stretch(random.below(kBlocks));
    const auto address = reinterpret_cast<std::uintptr_t>(stretch.at);
    const int error = bind_and_move(address, stretch.bytes, draw_node(world, random));
    unbind(address, stretch.bytes);
    return error == 0 ? Act::kDone : Act::kRefused;
  }
};

class MigratePages final : public Deed {
 public:
  int process() const override { return 1; }
  Result<Act> act(ComposeWorld& world, RoleContext& context) override {
    Random& random = context.random();
    const std::size_t from = random.below(world.nodes.size());
    const std::size_t to = (from + 1 + random.below(world.nodes.size() - 1)) % world.nodes.size();
    const int pid = world.book->pids[0].load();
    if (pid == 0) {
      return Act::kRefused;
    }
    return migrate_process(pid, world.nodes[from], world.nodes[to]) == 0 ? Act::kDone
                                                                         : Act::kRefused;
  }
};

// A change of its mems moves what its tasks have: in the legacy hierarchy if the cpuset says so, in
// the unified one always (Documentation/admin-guide/cgroup-v2.rst).
class Cpuset final : public Deed {
 public:
  Cpuset() = default;
  Cpuset(const Cpuset&) = delete;
  Cpuset& operator=(const Cpuset&) = delete;
  ~Cpuset() override { umount2(kRoot.c_str(), MNT_DETACH); }

  Result<> prepare(ComposeWorld& world) override {
    mkdir(kRoot.c_str(), 0755);
    // From 6.12 on the legacy one is an option of its own (CONFIG_CPUSETS_V1).
    const bool legacy = mount("cpuset", kRoot.c_str(), "cgroup", 0, "cpuset") == 0;
    if (!legacy && (mount("cgroup2", kRoot.c_str(), "cgroup2", 0, nullptr) != 0 ||
                    !write_text(kRoot + "/cgroup.subtree_control", "+cpuset"))) {
      return skipped(fmt::format("mount a cpuset hierarchy: {}: the kernel needs CONFIG_CPUSETS",
                                 errno_text(errno)));
    }
    mkdir(kOwn.c_str(), 0755);
    std::vector<std::pair<std::string, std::string>> settings{
        {kOwn + "/cpuset.cpus", list_of(world.cpus)},
        {kOwn + "/cpuset.mems", list_of(world.nodes)}};
    if (legacy) {
      settings.emplace_back(kOwn + "/cpuset.memory_migrate", "1");
    }
    settings.emplace_back(kOwn + "/cgroup.procs", std::to_string(getpid()));
    for (const auto& [file, text] : settings) {
      if (Result<> written = write_text(file, text); !written) {
        return written;
      }
    }
    return {};
  }

  Result<Act> act(ComposeWorld& world, RoleContext& context) override {
    const std::string node = std::to_string(draw_node(world, context.random()));
    return write_text(kOwn + "/cpuset.mems", node) ? Act::kDone : Act::kRefused;
  }

 private:
  inline static const std::string kRoot = "/tmp/cpuset";
  inline static const std::string kOwn = "/tmp/cpuset/mmquake";
};

// The writers go where the book says; the kernel brings the pages after them.
class NumaBalancing final : public Deed {
 public:
  Result<> prepare(ComposeWorld& /*world*/) override {
    if (!write_text("/proc/sys/kernel/numa_balancing", "1")) {
      return skipped("/proc/sys/kernel/numa_balancing: the kernel needs CONFIG_NUMA_BALANCING");
    }
    // Without debugfs' files for it the scan starts after a second of CPU time, and is rare.
    (void)write_text("/sys/kernel/debug/sched/numa_balancing/scan_delay_ms", "10");
    (void)write_text("/sys/kernel/debug/sched/numa_balancing/scan_period_min_ms", "20");
    return {};
  }

  Result<Act> act(ComposeWorld& world, RoleContext& context) override {
    world.book->writers_node.store(static_cast<std::uint64_t>(draw_node(world, context.random())));
    usleep(kStayUs);  // nobody waits for this: a node is worth staying on for a while
    return Act::kDone;
  }

 private:
  static constexpr useconds_t kStayUs = 20000;
};

class Compaction final : public Deed {
 public:
  Result<> prepare(ComposeWorld& /*world*/) override {
    return access(kFile, W_OK) == 0
               ? Result<>()
               : Result<>(skipped(std::string(kFile) + ": the kernel needs CONFIG_COMPACTION"));
  }
  Result<Act> act(ComposeWorld& /*world*/, RoleContext& /*context*/) override {
    return write_text(kFile, "1") ? Act::kDone : Act::kRefused;
  }

 private:
  static constexpr const char* kFile = "/proc/sys/vm/compact_memory";
};

class HotRemove final : public Deed {
 public:
  Result<> prepare(ComposeWorld& world) override {
    Result<MemoryBlocks> blocks = MemoryBlocks::read();
    Result<ZoneMap> zones = ZoneMap::read();
    if (!blocks || !zones) {
      return tl::make_unexpected(blocks ? zones.error() : blocks.error());
    }
    const bool spare_first =
        avoids_known_bugs(*world.env) && zone_start_moves_unlocked(kernel_release());
    for (const Zone& zone : zones->zones()) {
      if (zone.name == "Movable") {
        const std::vector<std::uint64_t> found =
            spare_first ? blocks->inner_blocks_of(zone.pfns) : blocks->blocks_in(zone.pfns);
        candidates_.insert(candidates_.end(), found.begin(), found.end());
      }
    }
    blocks_ = std::make_unique<MemoryBlocks>(std::move(*blocks));
    return candidates_.empty() ? Result<>(skipped("no memory block lies in ZONE_MOVABLE"))
                               : Result<>();
  }

  // What is pinned never goes offline, so it is given up after a while.
  Result<Act> act(ComposeWorld& world, RoleContext& context) override {
    const std::uint64_t block = candidates_[context.random().below(candidates_.size())];
    Result<std::unique_ptr<HotRemoval>> removal = HotRemoval::start(blocks_->state_file(block));
    if (!removal) {
      return tl::make_unexpected(removal.error());
    }
    std::optional<int> answer = (*removal)->wait(world.env->scaled(kPatience));
    context.step();
    if (!answer) {
      answer = (*removal)->interrupt(world.env->scaled(kPatience));
    }
    if (answer != 0) {
      return Act::kRefused;
    }
    context.step();
    if (Result<> online = blocks_->online_movable(block); !online) {
      return tl::make_unexpected(online.error());
    }
    return Act::kDone;
  }

 private:
  static constexpr std::chrono::milliseconds kPatience{800};
  std::unique_ptr<MemoryBlocks> blocks_;
  std::vector<std::uint64_t> candidates_;
};

// Each page that goes is lost to the machine, so there is a bound.
class SoftOffline final : public Deed {
 public:
  Result<Act> act(ComposeWorld& world, RoleContext& context) override {
    if (taken_ >= kMost) {
      return Act::kRefused;
    }
    Random& random = context.random();
    const std::size_t block = random.below(kBlocks);
    // The call faults a page in, which needs its address.
    const Inside inside(world.area.block(block).door);
    if (!inside) {
      return Act::kRefused;
    }
    const std::size_t page = Area::page_of(random.below(kCellsPerBlock));
    if (madvise(world.area.page_at(block, page), kSmallPage, MADV_SOFT_OFFLINE) == 0) {
      ++taken_;
      return Act::kDone;
    }
    return Act::kRefused;
  }

 private:
  static constexpr int kMost = 200;
  int taken_ = 0;
};

class CmaAllocation final : public Deed {
 public:
  Result<> prepare(ComposeWorld& /*world*/) override {
    Result<std::vector<CmaArea>> areas = read_cma_areas();
    if (!areas) {
      return tl::make_unexpected(areas.error());
    }
    if (areas->empty()) {
      return skipped("this kernel has no CMA area, or does not tell (CONFIG_CMA_DEBUGFS)");
    }
    folder_ = "/sys/kernel/debug/cma/" + areas->front().name;
    return {};
  }
  Result<Act> act(ComposeWorld& /*world*/, RoleContext& context) override {
    const std::string pages = std::to_string(1 + context.random().below(kHugePage / kSmallPage));
    if (!write_text(folder_ + "/alloc", pages)) {
      return Act::kRefused;
    }
    return write_text(folder_ + "/free", pages)
               ? Result<Act>(Act::kDone)
               : Result<Act>(broken("give memory back to " + folder_ + "/free"));
  }

 private:
  std::string folder_;
};

}  // namespace

std::unique_ptr<Deed> make_mover(std::string_view name) {
  if (name == "move_pages") return std::make_unique<MovePages>(0);
  if (name == "move_pages-other") return std::make_unique<MovePages>(1);
  if (name == "mbind") return std::make_unique<Mbind>();
  if (name == "migrate_pages") return std::make_unique<MigratePages>();
  if (name == "cpuset") return std::make_unique<Cpuset>();
  if (name == "numa-balancing") return std::make_unique<NumaBalancing>();
  if (name == "compaction") return std::make_unique<Compaction>();
  if (name == "hot-remove") return std::make_unique<HotRemove>();
  if (name == "soft-offline") return std::make_unique<SoftOffline>();
  if (name == "cma") return std::make_unique<CmaAllocation>();
  if (name == kDemotion) return make_demotion();
  return nullptr;
}

}  // namespace mmquake
