// SPDX-License-Identifier: GPL-2.0-or-later
//
// The mover `demotion`: reclaim moves cold pages to the node of a slower tier instead of writing
// them out (5.15, 26aa2d199d6f "mm/migrate: demote pages during reclaim"). Of the ways into reclaim
// MADV_PAGEOUT never demotes (reclaim_pages() says so), memory.reclaim of a cgroup does, at once
// and without memory being short.
#include <fmt/core.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "guest/memory/kernel_counters.h"
#include "guest/memory/numa.h"
#include "guest/memory/text_file.h"
#include "guest/runner/memory_tiers.h"
#include "workloads/compose/deed.h"

namespace mmquake {
namespace {

constexpr std::uint64_t kPagesOfHuge = kHugePage / kSmallPage;

// The workload's processes are in it from before their memory is faulted in, so that it is charged
// to it.
class OwnCgroup {
 public:
  OwnCgroup() = default;
  OwnCgroup(const OwnCgroup&) = delete;
  OwnCgroup& operator=(const OwnCgroup&) = delete;
  ~OwnCgroup() {
    (void)write_text(kRoot + "/cgroup.procs", std::to_string(getpid()));
    rmdir(kOwn.c_str());
    umount2(kRoot.c_str(), MNT_DETACH);
  }

  Result<> enter() {
    mkdir(kRoot.c_str(), 0755);
    if (mount("cgroup2", kRoot.c_str(), "cgroup2", 0, nullptr) != 0) {
      return skipped(
          fmt::format("mount cgroup2: {}: the kernel needs CONFIG_CGROUPS", errno_text(errno)));
    }
    if (!write_text(kRoot + "/cgroup.subtree_control", "+memory")) {
      return skipped("no memory controller in cgroup2: the kernel needs CONFIG_MEMCG");
    }
    mkdir(kOwn.c_str(), 0755);
    if (access(kReclaim.c_str(), W_OK) != 0) {
      return skipped("no memory.reclaim in a cgroup: the kernel needs 5.19");
    }
    return write_text(kOwn + "/cgroup.procs", std::to_string(getpid()));
  }

  // False: less than that could be reclaimed.
  bool reclaim(std::uint64_t bytes) const {
    return write_text(kReclaim, std::to_string(bytes)).has_value();
  }

 private:
  inline static const std::string kRoot = "/tmp/tiers";
  inline static const std::string kOwn = kRoot + "/mmquake";
  inline static const std::string kReclaim = kOwn + "/memory.reclaim";
};

class Demotion final : public Deed {
 public:
  Result<> prepare(ComposeWorld& world) override {
    slow_ = slow_nodes();
    for (const int node : world.nodes) {
      if (!is_slow(node)) {
        fast_.push_back(node);
      }
    }
    if (slow_.empty() || fast_.empty()) {
      return skipped(
          "no node is in a slower tier of memory than another: it needs the machine numa2-tiers, "
          "and a kernel (6.1) with CONFIG_DEV_DAX_HMEM and CONFIG_DEV_DAX_KMEM");
    }
    down_ = world.env->counter("deeds/demotion/pages_seen_below");
    up_ = world.env->counter("deeds/demotion/pages_brought_up");
    huge_ = world.env->counter("deeds/demotion/huge_pages_down");
    if (Result<> on = switch_.turn_on(); !on) {
      return on;
    }
    return cgroup_.enter();
  }

  Result<Act> act(ComposeWorld& world, RoleContext& context) override {
    Random& random = context.random();
    const std::size_t block = random.below(kBlocks);
    const std::size_t below = count_below(world, block);
    if (below > 0 && random.chance(kUpChance)) {
      return bring_up(world, block, below, random);
    }
    return bring_down(world, block, below, random);
  }

 private:
  static constexpr double kUpChance = 0.6;

  bool is_slow(int node) const {
    return std::find(slow_.begin(), slow_.end(), node) != slow_.end();
  }

  // How many of the block's pages with a cell are on slow memory, as this process has them.
  std::size_t count_below(const ComposeWorld& world, std::size_t block) const {
    const Result<std::vector<int>> nodes = nodes_of(0, world.area.pages(block));
    return !nodes ? 0
                  : static_cast<std::size_t>(std::count_if(
                        nodes->begin(), nodes->end(), [&](int node) { return is_slow(node); }));
  }

  Result<Act> bring_up(const ComposeWorld& world, std::size_t block, std::size_t below,
                       Random& random) {
    const int node = fast_[random.below(fast_.size())];
    if (random.chance(0.5)) {
      (void)move_pages_to(0, world.area.pages(block), node);
    } else {
      // The pages between the cells as well.
      (void)bind_and_move(world.area.block_address(block), kHugePage, node);
      unbind(world.area.block_address(block), kHugePage);
    }
    const std::size_t left = count_below(world, block);
    up_.add(below > left ? below - left : 0);
    return left < below ? Act::kDone : Act::kRefused;
  }

  Result<Act> bring_down(const ComposeWorld& world, std::size_t block, std::size_t below,
                         Random& random) {
    if (random.chance(kColdChance)) {
      // Its address must stay for as long as the call lasts.
      if (const Inside inside(world.area.block(block).door); inside) {
        (void)madvise(world.area.page_at(block, 0), kHugePage, MADV_COLD);
      }
    }
    const Result<KernelCounters> before = read_vmstat();
    (void)cgroup_.reclaim((kHugePage / 2) << random.below(3));
    const Result<KernelCounters> after = read_vmstat();
    if (!before || !after) {
      return tl::make_unexpected(before ? after.error() : before.error());
    }
    // Since 6.12 an amount, which may seem to shrink.
    const std::uint64_t was = demotions_in(*before);
    const std::uint64_t demoted = std::max(demotions_in(*after), was) - was;
    // Migration counts huge pages whatever moved them, so of both counts the lesser.
    huge_.add(std::min(value_of(*after, kHugeMoves) - value_of(*before, kHugeMoves),
                       demoted / kPagesOfHuge));
    const std::size_t now = count_below(world, block);
    down_.add(now > below ? now - below : 0);
    return demoted > 0 || now > below ? Act::kDone : Act::kRefused;
  }

  static constexpr double kColdChance = 0.7;
  static constexpr const char* kHugeMoves = "thp_migration_success";

  std::vector<int> slow_, fast_;
  Counter down_, up_, huge_;
  DemotionSwitch switch_;
  OwnCgroup cgroup_;
};

}  // namespace

std::unique_ptr<Deed> make_demotion() {
  return std::make_unique<Demotion>();
}

}  // namespace mmquake
