// SPDX-License-Identifier: GPL-2.0-or-later
//
// The oracle about what the rules of workloads/pin/placement.h are for: memory in ZONE_MOVABLE can
// be taken offline, whoever pins what for long. A removal that does not end while a pin lasts, and
// ends when that pin is let go, was held up by it.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "guest/device/pinning_device.h"
#include "guest/memory/mapping.h"
#include "guest/memory/memory_block.h"
#include "guest/runner/workload.h"
#include "workloads/pin/placement.h"

namespace mmquake {

// What is known about one removal.
struct RemovalFacts {
  std::optional<int> pinned;    // the kernel's answer while the pin lasted; nullopt: none in time
  std::size_t left = 0;         // pinned pages in the block when the removal began
  std::optional<int> unpinned;  // the answer after the pin was let go; nullopt: none in time
};

enum class RemovalVerdict {
  kSound,        // the block went offline
  kHeldByPin,    // it did only when the pin was let go, which had pages there: the kernel's fault
  kHeldByOther,  // it did not either way, or the pin had no page there
  kRefused,      // the kernel said no: there is nothing to judge
};
RemovalVerdict judge_removal(const RemovalFacts& facts);

class HotRemoveOracle {
 public:
  // A pinned range, with its pages as they were before the pin.
  struct Pinned {
    std::uintptr_t address = 0;
    const std::vector<PageEntry>& before;
    PinningDevice& holder;
  };
  struct Outcome {
    std::size_t sound = 0;  // removals
    std::optional<FindingRecord> finding;
    bool unpinned = false;  // the pin was let go on the way
  };

  // Takes each block of `forbidden` offline and online again, and leaves of `forbidden` those with
  // which that worked: some never go, for reasons of their own. With known-bugs=avoid the
  // block that a zone begins with is left alone where that is known to stop the kernel
  // (zone_start_moves_unlocked()). An error of kind kSkipped: none.
  Result<> set_up(Environment& env, Forbidden& forbidden);

  // The blocks in which these pages lie, as far as they can be taken offline.
  std::set<std::uint64_t> blocks_of(const std::vector<PageEntry>& pages) const;
  // Takes the blocks offline, one after another, and online again. Ends with the first finding.
  Result<Outcome> probe(const Pinned& pinned, const std::set<std::uint64_t>& blocks,
                        RoleContext& context);
  // Why removals were not judged, as the end of a sentence.
  std::string unjudged() const;

 private:
  struct Removal;
  Result<> try_block(std::uint64_t block);
  // Takes up what is free elsewhere on the node, which the kernel would give before the blocks that
  // have just come online.
  Result<> fill_other_blocks(int node);
  std::optional<int> wait(HotRemoval& removal, RoleContext& context) const;
  Result<RemovalVerdict> remove(Removal& removal, RoleContext& context);
  FindingRecord describe(const Removal& removal) const;

  std::string place_;
  std::optional<MemoryBlocks> blocks_;
  std::set<std::uint64_t> removable_;
  std::vector<Mapping> ballast_;
  std::chrono::nanoseconds slowest_{0};  // of the removals at set-up
  std::chrono::nanoseconds limit_{0};
  Counter ended_, held_by_other_, refused_;
};

}  // namespace mmquake
