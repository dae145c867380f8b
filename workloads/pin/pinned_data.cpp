// SPDX-License-Identifier: GPL-2.0-or-later
//
// What pinning is for: a device reads and writes memory by its own references, so as long as it is
// pinned no page of it may be exchanged for another one, whoever tries to move it, and nothing that
// either side writes may be lost (Documentation/core-api/pin_user_pages.rst).
//
// One round: a region is pinned; then, some times, the device writes one page in sixteen, the
// process the others, and both read all of them, while the mover tries everything that moves pages
// on this region and on one that is not pinned. That one shows that the mover does move. The device
// is io_uring (READ_FIXED and WRITE_FIXED) or RDMA (remote writes and reads).
//
// There is no bug to put back for this workload. What the parameter `provoke` does:
//   lost-write  the device leaves out one page: it must be found
//   unpinned    the region is let go before the work, so that its pages move: it must be found
#include <fmt/core.h>
#include <sched.h>
#include <sys/mman.h>

#include <array>
#include <atomic>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "guest/device/pinning_device.h"
#include "guest/memory/mapping.h"
#include "guest/memory/numa.h"
#include "guest/memory/page_map.h"
#include "guest/memory/ram_swap.h"
#include "guest/memory/text_file.h"
#include "guest/runner/requirements.h"
#include "guest/runner/workload.h"

namespace mmquake {
namespace {

constexpr int kTurnsPerRound = 4;
constexpr std::size_t kDeviceEvery = 16;  // each of its writes takes a trip through a worker
constexpr std::size_t kFreeBytes = 64 * kSmallPage;  // of the region that is not pinned
// One is in use, and each node has room for it.
constexpr std::uint64_t kHugetlbPagesPerNode = 4;
constexpr std::chrono::seconds kLimit{10};
constexpr std::array<const char*, 5> kMovers{"move-pages", "mbind", "migrate-pages", "compaction",
                                             "pageout"};

class PinnedData final : public Workload {
 public:
  static WorkloadInfo info();
  Result<> set_up(Environment& env) override;
  std::vector<Role> roles() override;
  std::optional<FindingRecord> check() override { return std::exchange(finding_, std::nullopt); }
  Result<> verify_work() override;

 private:
  void work(RoleContext& context);
  Result<> play(RoleContext& context);
  Result<> turn(std::uint64_t generation);
  Result<std::vector<PageEntry>> pages() const;
  void await_movers(RoleContext& context);
  void compare(const std::vector<std::byte>& seen, std::uint64_t generation, const char* title);
  void compare_pages(const std::vector<PageEntry>& before, const std::vector<PageEntry>& now);
  void report(const char* kind, const char* title, std::string detail);
  void move(RoleContext& context);
  void move_once(std::size_t mover, std::size_t turn);
  void count_free_pages_that_moved();

  std::string provoke_;
  std::vector<std::size_t> movers_;  // indices of kMovers
  std::vector<int> nodes_;
  HugetlbReservation pool_;
  Mapping region_;
  Mapping free_;
  RamSwap swap_;
  std::unique_ptr<PinningDevice> device_;
  std::vector<std::byte> wanted_, seen_;
  std::vector<PageEntry> free_before_;
  std::uint64_t generation_ = 0;
  std::optional<FindingRecord> finding_;
  std::optional<Error> error_, mover_error_;
  std::size_t mover_turn_ =
      0;  // goes on over the rounds: a short one must not always see the first
  std::atomic<bool> round_over_{false}, mover_gone_{false};
  std::atomic<std::uint64_t> begun_{0}, ended_{0};
  Counter turns_, refused_, huge_pins_, migrations_, overlaps_;
  std::array<Counter, kMovers.size()> calls_;
};

WorkloadInfo PinnedData::info() {
  WorkloadInfo info;
  info.name = "pinned-data";
  info.summary = "a device and the process use pinned memory while everything tries to move it";
  info.exercises = {"FOLL_LONGTERM", "io_uring fixed buffers", "ibv_reg_mr",     "move_pages",
                    "mbind",         "migrate_pages",          "compact_memory", "MADV_PAGEOUT"};
  info.needs.numa_nodes = 2;
  info.needs.cpus = 2;
  info.needs.free_mib_per_node = 32;
  info.needs.files = {"/proc/self/pagemap"};
  info.params.push_back(
      choice_param("consumer", {"io_uring", "rxe"}, "the device; rxe is RDMA by soft-RoCE"));
  info.params.push_back(choice_param("backing", {"anon-4k", "anon-thp", "shmem-4k", "hugetlb-2m"},
                                     "of the pinned region, 2 MiB"));
  std::vector<std::string> movers{"all"};
  movers.insert(movers.end(), kMovers.begin(), kMovers.end());
  info.params.push_back(
      choice_param("mover", std::move(movers), "who tries to move the pages; all: by turns"));
  info.params.push_back(choice_param("provoke", {"none", "lost-write", "unpinned"},
                                     "breaks the rules, to test the oracle"));
  return info;
}

Result<> PinnedData::set_up(Environment& env) {
  provoke_ = env.param("provoke");
  nodes_ = env.memory_nodes();
  for (std::size_t i = 0; i < kMovers.size(); ++i) {
    calls_[i] = env.counter("calls/" + std::string(kMovers[i]));
    if (env.param("mover") == "all" || env.param("mover") == kMovers[i]) {
      movers_.push_back(i);
    }
  }
  turns_ = env.counter("turns");
  refused_ = env.counter("pins/refused");
  migrations_ = env.counter("migrations");
  overlaps_ = env.counter("overlaps");
  if (Result<> swap = swap_.start(); !swap) {
    return swap;
  }
  huge_pins_ = env.counter("pins/of-a-huge-page");
  const Backing backing = *backing_from(env.param("backing"));
  if (backing == Backing::kHugetlb2m) {
    Result<HugetlbReservation> pool = HugetlbReservation::reserve(kHugetlbPagesPerNode, nodes_);
    if (!pool) {
      return tl::make_unexpected(pool.error());
    }
    pool_ = std::move(*pool);
  }
  Result<Mapping> region = Mapping::create(backing, kHugePage);
  if (!region) {
    return tl::make_unexpected(region.error());
  }
  region_ = std::move(*region);
  Result<Mapping> free = Mapping::create(Backing::kAnon4k, kFreeBytes);
  if (!free) {
    return tl::make_unexpected(free.error());
  }
  free_ = std::move(*free);
  Result<std::unique_ptr<PinningDevice>> device = open_pinning_device(env.param("consumer"));
  if (!device) {
    return tl::make_unexpected(device.error());
  }
  device_ = std::move(*device);
  wanted_.resize(kHugePage);
  seen_.resize(kHugePage);
  return {};
}

std::vector<Role> PinnedData::roles() {
  std::vector<Role> roles(2);
  roles[0].name = "device";
  roles[0].body = [this](RoleContext& context) { work(context); };
  roles[0].limit = kLimit;
  roles[1].name = "mover";
  roles[1].body = [this](RoleContext& context) { move(context); };
  roles[1].limit = kLimit;
  return roles;
}

void PinnedData::work(RoleContext& context) {
  if (!error_) {
    if (Result<> played = play(context); !played) {
      error_ = played.error();
    }
  }
  round_over_.store(true);
}

Result<std::vector<PageEntry>> PinnedData::pages() const {
  Result<PageMap> map = PageMap::open_self();
  if (!map) {
    return tl::make_unexpected(map.error());
  }
  return map->range(region_.address(), kHugePage);
}

Result<> PinnedData::play(RoleContext& context) {
  // Fresh pages: those of the round before have been in their place since they were pinned.
  if (Result<> fresh = region_.discard(0, kHugePage); !fresh) {
    return fresh;
  }
  std::memset(region_.data(), 0, kHugePage);
  if (device_->pin(region_.address(), kHugePage) != 0) {
    refused_.add();
    return {};
  }
  context.step();
  const Result<std::uint64_t> huge = region_.huge_bytes();
  if (!huge) {
    return tl::make_unexpected(huge.error());
  }
  huge_pins_.add(*huge == kHugePage ? 1 : 0);
  Result<std::vector<PageEntry>> before = pages();
  if (!before) {
    return tl::make_unexpected(before.error());
  }
  if (provoke_ == "unpinned") {
    if (Result<> released = device_->unpin(); !released) {
      return released;
    }
  }
  for (int i = 0; i < kTurnsPerRound && !context.stopping() && !finding_; ++i) {
    const std::uint64_t ended = ended_.load();
    if (provoke_ == "unpinned") {
      await_movers(context);
    } else if (Result<> done = turn(++generation_); !done) {
      return done;
    }
    Result<std::vector<PageEntry>> now = pages();
    if (!now) {
      return tl::make_unexpected(now.error());
    }
    compare_pages(*before, *now);
    turns_.add();
    overlaps_.add(begun_.load() > ended ? 1 : 0);
    context.step();
    sched_yield();
  }
  return provoke_ == "unpinned" ? Result<>() : device_->unpin();
}

// Each of them has had a go since. Then the pages come back, so that it shows where they are now.
void PinnedData::await_movers(RoleContext& context) {
  const std::uint64_t goal = begun_.load() + movers_.size();
  while (ended_.load() < goal && !mover_gone_.load() && !context.stopping()) {
    sched_yield();
  }
  std::memcpy(seen_.data(), region_.data(), kHugePage);
}

// Each word of a page says which page, which generation and who wrote it.
void fill_page(std::byte* at, std::size_t page, std::uint64_t generation, bool by_device) {
  const std::uint64_t word = generation << 20 | page << 1 | (by_device ? 1 : 0);
  for (std::size_t offset = 0; offset < kSmallPage; offset += sizeof(word)) {
    std::memcpy(at + offset, &word, sizeof(word));
  }
}

Result<> PinnedData::turn(std::uint64_t generation) {
  constexpr std::size_t kPages = kHugePage / kSmallPage;
  for (std::size_t page = 0; page < kPages; ++page) {
    const std::size_t at = page * kSmallPage;
    const bool by_device = page % kDeviceEvery == 0;
    fill_page(wanted_.data() + at, page, generation, by_device);
    if (!by_device) {
      std::memcpy(region_.data() + at, wanted_.data() + at, kSmallPage);
    } else if (provoke_ != "lost-write" || page != 2 * kDeviceEvery) {
      if (Result<> put = device_->write(region_.address() + at, wanted_.data() + at, kSmallPage);
          !put) {
        return put;
      }
    }
  }
  if (Result<> read = device_->read(region_.address(), seen_.data(), kHugePage); !read) {
    return read;
  }
  compare(seen_, generation, "a device reads old data from pinned memory");
  std::memcpy(seen_.data(), region_.data(), kHugePage);
  compare(seen_, generation, "a write to pinned memory is lost");
  return {};
}

void PinnedData::report(const char* kind, const char* title, std::string detail) {
  if (finding_) {
    return;
  }
  FindingRecord finding;
  finding.kind = kind;
  finding.title = title;
  finding.role = "device";
  finding.evidence["page"] = std::move(detail);
  finding_ = std::move(finding);
}

void PinnedData::compare(const std::vector<std::byte>& seen, std::uint64_t generation,
                         const char* title) {
  for (std::size_t at = 0; at < kHugePage; at += sizeof(std::uint64_t)) {
    std::uint64_t is = 0;
    std::uint64_t must = 0;
    std::memcpy(&is, seen.data() + at, sizeof(is));
    std::memcpy(&must, wanted_.data() + at, sizeof(must));
    if (is != must) {
      report("corruption", title,
             fmt::format("generation {}, page {}, offset {}: {:#x} instead of {:#x}", generation,
                         at / kSmallPage, at % kSmallPage, is, must));
      return;
    }
  }
}

void PinnedData::compare_pages(const std::vector<PageEntry>& before,
                               const std::vector<PageEntry>& now) {
  for (std::size_t page = 0; page < before.size(); ++page) {
    if (before[page].pfn() != 0 && now[page].present() && now[page].pfn() != before[page].pfn()) {
      report("misplacement", "a pinned page moved",
             fmt::format("page {}: first {}, then {}", page, describe(before[page]),
                         describe(now[page])));
      return;
    }
  }
}

void PinnedData::move_once(std::size_t mover, std::size_t turn) {
  const std::string_view name = kMovers[mover];
  const int to = nodes_[turn % nodes_.size()];
  const int from = nodes_[(turn + 1) % nodes_.size()];
  calls_[mover].add();
  for (Mapping* target : {&region_, &free_}) {
    if (name == "move-pages") {
      std::vector<std::uintptr_t> addresses;
      for (std::size_t at = 0; at < target->size(); at += kSmallPage) {
        addresses.push_back(target->address() + at);
      }
      move_pages_to(0, addresses, to);
    } else if (name == "mbind") {
      bind_and_move(target->address(), target->size(), to);
      unbind(target->address(), target->size());
    } else if (name == "pageout") {
      madvise(target->data(), target->size(), MADV_PAGEOUT);
    }
  }
  if (name == "migrate-pages") {
    migrate_process(0, from, to);
  } else if (name == "compaction") {
    if (Result<> compacted = write_text("/proc/sys/vm/compact_memory", "1\n"); !compacted) {
      mover_error_ = compacted.error();
    }
  }
}

// Touches them, so that what was swapped out comes back, and looks.
void PinnedData::count_free_pages_that_moved() {
  for (std::size_t at = 0; at < kFreeBytes; at += kSmallPage) {
    *reinterpret_cast<volatile char*>(free_.data() + at) = 1;
  }
  Result<PageMap> map = PageMap::open_self();
  if (!map) {
    mover_error_ = map.error();
    return;
  }
  Result<std::vector<PageEntry>> now = map->range(free_.address(), kFreeBytes);
  if (!now) {
    mover_error_ = now.error();
    return;
  }
  for (std::size_t page = 0; page < free_before_.size(); ++page) {
    migrations_.add(free_before_[page].pfn() != (*now)[page].pfn() ? 1 : 0);
  }
  free_before_ = std::move(*now);
}

void PinnedData::move(RoleContext& context) {
  for (; !round_over_.load() && !context.stopping() && !mover_error_; ++mover_turn_) {
    begun_.fetch_add(1);
    move_once(movers_[mover_turn_ % movers_.size()], mover_turn_ / movers_.size());
    ended_.store(begun_.load());
    count_free_pages_that_moved();
    context.step();
    sched_yield();
  }
  mover_gone_.store(mover_error_.has_value());
  round_over_.store(false);
}

Result<> PinnedData::verify_work() {
  for (const std::optional<Error>* error : {&error_, &mover_error_}) {
    if (*error) {
      return tl::make_unexpected(**error);
    }
  }
  if (turns_.value() == 0 || overlaps_.value() == 0) {
    return broken(
        fmt::format("nothing was tested: {} turns, {} of them with a mover at work, {} "
                    "pins refused",
                    turns_.value(), overlaps_.value(), refused_.value()));
  }
  if (unit_bytes(region_.backing()) == kHugePage && huge_pins_.value() == 0) {
    return broken("the pinned region was never one huge page");
  }
  if (migrations_.value() == 0) {
    return broken("the movers moved no page, not even of the region that is not pinned");
  }
  return {};
}

REGISTER_WORKLOAD(PinnedData);

}  // namespace
}  // namespace mmquake
