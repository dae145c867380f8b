// SPDX-License-Identifier: GPL-2.0-or-later
//
// The blocks in which memory goes offline and online: /sys/devices/system/memory
// (Documentation/admin-guide/mm/memory-hotplug.rst).
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "guest/memory/zone_map.h"
#include "guest/protocol/result.h"

namespace mmquake {

// A block is known by the N of its folder memoryN.
class MemoryBlocks {
 public:
  // An error of kind kSkipped: the kernel has no memory hotplug (CONFIG_MEMORY_HOTPLUG).
  static Result<MemoryBlocks> read(std::string root = "/sys/devices/system/memory");

  std::uint64_t block_of(std::uint64_t pfn) const { return pfn / pages_; }
  PfnRange pfns(std::uint64_t block) const { return {block * pages_, (block + 1) * pages_}; }
  // Those that lie in `range` as a whole.
  std::vector<std::uint64_t> blocks_in(const PfnRange& range) const;
  // Those of a zone but for the one that it begins with: the zone's begin never moves.
  std::vector<std::uint64_t> inner_blocks_of(const PfnRange& zone) const;

  std::string state_file(std::uint64_t block) const;
  // "online", "offline", "going-offline".
  Result<std::string> state(std::uint64_t block) const;
  // Puts an offline block into ZONE_MOVABLE.
  Result<> online_movable(std::uint64_t block) const;

 private:
  std::string root_;
  std::uint64_t pages_ = 1;  // small pages of a block
};

// One block that is taken offline, by a thread of its own: the kernel tries to move its pages until
// all are gone, a signal comes, or it meets one that it knows to be unmovable (mm/memory_hotplug.c,
// offline_pages). A pinned page it does not know to be unmovable.
class HotRemoval {
 public:
  // Begins to write "offline" into a block's state file.
  static Result<std::unique_ptr<HotRemoval>> start(std::string state_file);
  // Interrupts it first. A block that went offline stays so: the caller puts it online.
  ~HotRemoval();
  HotRemoval(const HotRemoval&) = delete;
  HotRemoval& operator=(const HotRemoval&) = delete;

  // The kernel's answer, at the latest after `time`: 0 (the block is offline) or an errno. nullopt:
  // it is still at work.
  std::optional<int> wait(std::chrono::nanoseconds time);
  // Sends signals until it ends: EINTR, as a rule. nullopt: it did not within `time`.
  std::optional<int> interrupt(std::chrono::nanoseconds time);

  // /proc/self/task/TID/stack of its thread.
  std::string stack() const;

 private:
  struct Shared {
    std::mutex mutex;
    std::condition_variable changed;
    std::optional<int> answer;
    int tid = 0;
  };

  explicit HotRemoval(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}

  // Of the thread as well, which is left alone if no signal ends it.
  std::shared_ptr<Shared> shared_;
  std::thread thread_;
};

}  // namespace mmquake
