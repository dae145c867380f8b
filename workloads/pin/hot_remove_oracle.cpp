// SPDX-License-Identifier: GPL-2.0-or-later
#include "workloads/pin/hot_remove_oracle.h"

#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "guest/memory/kernel_counters.h"
#include "guest/memory/kernel_quirks.h"
#include "guest/memory/numa.h"
#include "guest/memory/page_map.h"

namespace mmquake {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::nanoseconds;

// A removal takes 0.1 to 0.3 s under TCG. That it takes longer accuses nobody: what counts is that
// it ends when the pin does.
constexpr std::chrono::seconds kLimit{2};
constexpr int kTimesSlowest = 8;
constexpr int kTimesLimit = 2;  // at most
constexpr std::chrono::milliseconds kTick{100};
constexpr std::chrono::seconds kInterruptLimit{5};
// Pinned pages that must be in a block for the pin to be a suspect.
constexpr std::size_t kEnoughPages = 8;
constexpr std::size_t kMaxBallast = 256;  // huge pages

double seconds_of(nanoseconds time) {
  return std::chrono::duration<double>(time).count();
}

}  // namespace

RemovalVerdict judge_removal(const RemovalFacts& facts) {
  if (facts.pinned) {
    return *facts.pinned == 0 ? RemovalVerdict::kSound : RemovalVerdict::kRefused;
  }
  return facts.left > 0 && facts.unpinned == 0 ? RemovalVerdict::kHeldByPin
                                               : RemovalVerdict::kHeldByOther;
}

// One removal, and what is to be told about it.
struct HotRemoveOracle::Removal {
  Removal(const Pinned& what, std::uint64_t where, const Placement& placement)
      : pinned(what), block(where), seen(placement) {}

  const Pinned& pinned;
  std::uint64_t block;
  Placement seen;  // of the pinned pages in this block
  std::string stack;
  std::uint64_t failed_moves = 0;
  nanoseconds held{0}, after_unpin{0};
  bool unpinned = false;
};

Result<> HotRemoveOracle::set_up(Environment& env, Forbidden& forbidden) {
  Result<MemoryBlocks> blocks = MemoryBlocks::read();
  if (!blocks) {
    return tl::make_unexpected(blocks.error());
  }
  blocks_ = std::move(*blocks);
  ended_ = env.counter("removals/ended");
  held_by_other_ = env.counter("removals/held-by-other");
  refused_ = env.counter("removals/refused");
  limit_ = env.scaled(kLimit);
  place_ = forbidden.name;
  const bool spare_first = avoids_known_bugs(env) && zone_start_moves_unlocked(kernel_release());
  std::size_t tried = 0;
  for (const PfnRange& range : std::exchange(forbidden.ranges, {})) {
    for (const std::uint64_t block :
         spare_first ? blocks_->inner_blocks_of(range) : blocks_->blocks_in(range)) {
      ++tried;
      if (Result<> done = try_block(block); !done) {
        return done;
      }
    }
  }
  if (removable_.empty()) {
    return skipped(fmt::format("none of the {} memory blocks in {} can be taken offline", tried,
                               forbidden.name));
  }
  forbidden.lists += "of these, blocks that can be taken offline:\n";
  for (const std::uint64_t block : removable_) {
    const PfnRange pfns = blocks_->pfns(block);
    forbidden.ranges.push_back(pfns);
    forbidden.lists += fmt::format("memory{} [{:#x}, {:#x})\n", block, pfns.begin, pfns.end);
  }
  limit_ = std::clamp<nanoseconds>(kTimesSlowest * slowest_, limit_, kTimesLimit * limit_);
  env.note(fmt::format("{} of {} memory blocks in {} can be taken offline, in {:.2f} s at most",
                       removable_.size(), tried, forbidden.name, seconds_of(slowest_)));
  return fill_other_blocks(forbidden.node);
}

Result<> HotRemoveOracle::fill_other_blocks(int node) {
  Result<PageMap> map = PageMap::open_self();
  if (!map) {
    return tl::make_unexpected(map.error());
  }
  for (std::size_t pages = 0; pages < kMaxBallast; ++pages) {
    Result<Mapping> huge = Mapping::create(Backing::kAnonThp, kHugePage);
    if (!huge) {
      return tl::make_unexpected(huge.error());
    }
    if (const int error = bind_and_move(huge->address(), kHugePage, node); error != 0) {
      return broken("mbind: " + errno_text(error));
    }
    *reinterpret_cast<volatile char*>(huge->data()) = 1;
    Result<PageEntry> page = map->at(huge->address());
    if (!page) {
      return tl::make_unexpected(page.error());
    }
    if (removable_.count(blocks_->block_of(page->pfn())) > 0) {
      break;
    }
    ballast_.push_back(std::move(*huge));
  }
  return {};
}

Result<> HotRemoveOracle::try_block(std::uint64_t block) {
  const Clock::time_point begin = Clock::now();
  Result<std::unique_ptr<HotRemoval>> removal = HotRemoval::start(blocks_->state_file(block));
  if (!removal) {
    return tl::make_unexpected(removal.error());
  }
  if ((*removal)->wait(limit_) == 0) {
    slowest_ = std::max<nanoseconds>(slowest_, Clock::now() - begin);
    removable_.insert(block);
    return blocks_->online_movable(block);
  }
  // It may yet have ended before the signal came.
  return (*removal)->interrupt(kInterruptLimit) == 0 ? blocks_->online_movable(block) : Result<>();
}

std::set<std::uint64_t> HotRemoveOracle::blocks_of(const std::vector<PageEntry>& pages) const {
  std::set<std::uint64_t> blocks;
  for (const PageEntry& page : pages) {
    const std::uint64_t block = blocks_->block_of(page.pfn());
    if (removable_.count(block) > 0) {
      blocks.insert(block);
    }
  }
  return blocks;
}

// To its end, even when the trial's time is over meanwhile: half a removal says nothing, and a few
// seconds are far from what the runner takes for disobedience.
std::optional<int> HotRemoveOracle::wait(HotRemoval& removal, RoleContext& context) const {
  const Clock::time_point end = Clock::now() + limit_;
  std::optional<int> answer;
  while (!answer && Clock::now() < end) {
    answer = removal.wait(kTick);
    context.step();
  }
  return answer;
}

// Where the pinned pages are is looked at first: while the kernel tries to move them, they are
// mapped only now and then.
Result<RemovalVerdict> HotRemoveOracle::remove(Removal& removal, RoleContext& context) {
  Result<KernelCounters> begin = read_vmstat();
  if (!begin) {
    return tl::make_unexpected(begin.error());
  }
  Result<std::unique_ptr<HotRemoval>> probe = HotRemoval::start(blocks_->state_file(removal.block));
  if (!probe) {
    return tl::make_unexpected(probe.error());
  }
  RemovalFacts facts;
  facts.left = removal.seen.left;
  const Clock::time_point start = Clock::now();
  facts.pinned = wait(**probe, context);
  if (!facts.pinned && facts.left > 0) {
    removal.stack = (*probe)->stack();
    Result<KernelCounters> end = read_vmstat();
    if (!end) {
      return tl::make_unexpected(end.error());
    }
    removal.failed_moves = value_of(*end, "pgmigrate_fail") - value_of(*begin, "pgmigrate_fail");
    const Clock::time_point let_go = Clock::now();
    removal.held = let_go - start;
    removal.unpinned = true;
    if (Result<> done = removal.pinned.holder.unpin(); !done) {
      return tl::make_unexpected(done.error());
    }
    facts.unpinned = wait(**probe, context);
    removal.after_unpin = Clock::now() - let_go;
  }
  const std::optional<int> last = (*probe)->interrupt(kInterruptLimit);
  if (!last) {
    return broken(fmt::format("the removal of memory{} is not ended by signals:\n{}", removal.block,
                              (*probe)->stack()));
  }
  if (*last == 0) {
    if (Result<> online = blocks_->online_movable(removal.block); !online) {
      return tl::make_unexpected(online.error());
    }
  }
  return judge_removal(facts);
}

std::string HotRemoveOracle::unjudged() const {
  std::string text;
  if (refused_.value() > 0) {
    text += fmt::format(", {} removals refused by the kernel", refused_.value());
  }
  if (held_by_other_.value() > 0) {
    text += fmt::format(", {} removals held up by another one", held_by_other_.value());
  }
  return text;
}

FindingRecord HotRemoveOracle::describe(const Removal& removal) const {
  const Placement& seen = removal.seen;
  const PfnRange pfns = blocks_->pfns(removal.block);
  FindingRecord finding;
  finding.kind = "hang";
  finding.title = "memory hot-remove never ends: long-term pinned pages in " + place_;
  finding.role = "pinner";
  finding.evidence["block"] = fmt::format(
      "memory{} [{:#x}, {:#x}): went offline and online before the pin; taken offline again while "
      "{} held pages, that did not end in {:.2f} s; it ended {:.2f} s after they were let go",
      removal.block, pfns.begin, pfns.end, removal.pinned.holder.name(), seconds_of(removal.held),
      seconds_of(removal.after_unpin));
  finding.evidence["pages"] = fmt::format(
      "{} of {} lay in this block before the pin, {} or more still did while it lasted; page {} of "
      "the range is the first: {}",
      seen.before, removal.pinned.before.size(), seen.left, *seen.first_left,
      mmquake::describe(seen.first_entry));
  finding.evidence["device"] = "saw what the process wrote to these pages";
  finding.evidence["pgmigrate_fail"] = fmt::format("+{} meanwhile", removal.failed_moves);
  finding.evidence["stack"] = removal.stack;
  return finding;
}

Result<HotRemoveOracle::Outcome> HotRemoveOracle::probe(const Pinned& pinned,
                                                        const std::set<std::uint64_t>& blocks,
                                                        RoleContext& context) {
  Outcome out;
  for (const std::uint64_t block : blocks) {
    if (context.stopping() || out.unpinned) {
      break;
    }
    Forbidden one;
    one.ranges = {blocks_->pfns(block)};
    Result<Placement> seen =
        look_while_pinned(pinned.address, pinned.before, pinned.holder, one, kEnoughPages);
    if (!seen) {
      return tl::make_unexpected(seen.error());
    }
    Removal removal{pinned, block, *seen};
    Result<RemovalVerdict> verdict = remove(removal, context);
    if (!verdict) {
      return tl::make_unexpected(verdict.error());
    }
    out.unpinned = removal.unpinned;
    out.sound += *verdict == RemovalVerdict::kSound ? 1 : 0;
    if (*verdict == RemovalVerdict::kSound) {
      ended_.add();
    } else if (*verdict == RemovalVerdict::kRefused) {
      refused_.add();
    } else if (*verdict == RemovalVerdict::kHeldByOther) {
      held_by_other_.add();
    } else {
      out.finding = describe(removal);
    }
  }
  return out;
}

}  // namespace mmquake
