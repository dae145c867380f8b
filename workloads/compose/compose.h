// SPDX-License-Identifier: GPL-2.0-or-later
//
// The workload's class; the story is told in compose.cpp, its oracle between rounds is in
// checks.cpp.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "guest/memory/kernel_counters.h"
#include "guest/memory/memory_level.h"
#include "guest/memory/numa.h"
#include "guest/memory/page_map.h"
#include "guest/memory/ram_swap.h"
#include "guest/runner/requirements.h"
#include "guest/runner/workload.h"
#include "workloads/compose/deed.h"
#include "workloads/compose/no_underused_shrinker.h"
#include "workloads/compose/watcher.h"
#include "workloads/migration/accounting.h"
#include "workloads/migration/page_audit.h"
#include "workloads/uffd/shmem_always_huge.h"

namespace mmquake {

class Compose final : public Workload {
 public:
  Compose() = default;
  Compose(const Compose&) = delete;
  Compose& operator=(const Compose&) = delete;
  ~Compose() override;
  static WorkloadInfo info();
  Result<> set_up(Environment& env) override;
  std::vector<Role> roles() override;
  std::optional<FindingRecord> check() override;
  std::optional<FindingRecord> judge(const Stuck& stuck) override;
  bool rescue(const Stuck& stuck) override;
  Result<> verify_work() override;
  std::optional<FindingRecord> check_aftermath() override;

 private:
  // One mover or disturber with its role's counters.
  struct Part {
    std::string name;
    std::unique_ptr<Deed> deed;
    Counter done, refused;
  };

  // set_up
  Result<> may_run(const Environment& env) const;
  Result<> prepare_kernel();
  Result<> start_swap();
  Result<> make_parts();
  Result<> take_stock();
  // roles
  void add_writer(std::vector<Role>& roles, std::size_t writer);
  void write(RoleContext& context, std::size_t writer);
  bool burst(RoleContext& context, std::size_t writer, std::size_t block);
  void touch(RoleContext& context, std::size_t writer, std::size_t block, std::size_t cell);
  void follow_node(std::uint64_t& node) const;
  void disturb(RoleContext& context, Part& part);
  bool deeds_left(const RoleContext& context) const;
  void sabotage(RoleContext& context);
  std::string word_of(std::string_view role) const;
  std::optional<std::pair<int, int>> waits_for(std::string_view role, std::string_view title) const;
  void fail(const Error& error) { world_->book->error.put(error.message); }
  // checks
  Result<std::optional<FindingRecord>> check_content();
  Result<std::optional<FindingRecord>> check_places();
  Result<std::optional<FindingRecord>> check_counts();
  Result<std::optional<std::vector<Sight>>> look_everywhere();
  Result<std::optional<std::string>> counts_wrong();
  Result<std::optional<std::string>> resident_wrong(int pid) const;
  std::uint64_t locked_kb() const;
  Result<std::optional<std::string>> locked_wrong() const;
  void keep_a_page();
  Result<> renew_blocks();
  void let_go();
  Result<std::optional<std::string>> left_behind();
  Result<> count_kernel_events();

  std::unique_ptr<ComposeWorld> world_;
  SharedMemory memory_;
  HugetlbReservation hugetlb_;
  ShmemAlwaysHuge shmem_;
  NoUnderusedShrinker underused_;
  std::optional<RamSwap> swap_;
  bool swap_keeps_memory_ = false;
  bool merges_ = false;            // ksmd has been started
  std::optional<Random> renewal_;  // set: huge pages are made anew between the rounds
  std::vector<Part> parts_;
  std::unique_ptr<Watcher> watcher_;
  std::string provoke_;
  std::size_t users_ = 0;

  std::optional<NodeRanges> ranges_;
  std::optional<PageFlags> flags_;
  KernelCounters vmstat_before_;
  std::uint64_t locked_before_ = 0;
  MemoryLevel level_before_;
  std::int64_t left_kb_ = 0;
  std::uint64_t checks_ = 0;
  Counter cells_written_, cells_checked_, overlaps_, migrations_, thp_migrations_, disturbed_,
      renewed_;
  std::optional<Counter> demotions_;  // of the mover of that name
};

}  // namespace mmquake
