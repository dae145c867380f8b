// SPDX-License-Identifier: GPL-2.0-or-later
//
// The workload's class; the story is told in migrate_verify.cpp, the oracle is in checks.cpp.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "guest/memory/numa.h"
#include "guest/memory/page_map.h"
#include "guest/runner/workload.h"
#include "workloads/migration/accounting.h"
#include "workloads/migration/movers.h"
#include "workloads/migration/page_audit.h"
#include "workloads/migration/region.h"
#include "workloads/migration/shared_book.h"
#include "workloads/uffd/shmem_always_huge.h"

namespace mmquake {

class MigrateVerify final : public Workload {
 public:
  static WorkloadInfo info();
  Result<> set_up(Environment& env) override;
  std::vector<Role> roles() override;
  std::optional<FindingRecord> check() override;
  Result<> verify_work() override;

 private:
  using Verdict = Result<std::optional<FindingRecord>>;
  struct QuietBatch {
    std::vector<QuietMove> moves;
    std::vector<std::uintptr_t> addresses;
    std::vector<std::pair<const Region*, std::size_t>> units;
  };

  // set_up
  Result<> check_provocation() const;
  Result<> map(std::size_t small_units, std::size_t huge_units);
  Result<> take_stock();

  // roles
  void add_writers_and_readers(std::vector<Role>& roles);
  void add_mover(std::vector<Role>& roles, std::string name, int process,
                 Result<> (Movers::*move)(RoleContext&));
  void add_binder(std::vector<Role>& roles, int process);
  void write(RoleContext& context, const Owner& owner);
  void read(RoleContext& context, int process);
  bool write_burst(RoleContext& context, const Owner& owner);
  bool read_burst(RoleContext& context, int process);
  Result<> rebuild(const Owner& owner);
  bool is_rebuilder(const Owner& owner) const;
  // Whether the caller may touch the region in this round.
  bool is_usable(const Region& region, const Owner& owner) const;
  static void pause(RoleContext& context);
  void enter(int process);
  bool movers_busy(const RoleContext& context) const;
  void run_mover(RoleContext& context, std::size_t number, int process,
                 const std::function<Result<>()>& move);
  void fail(const Error& error);

  // What `provoke` does behind the oracle's back; checks.cpp has those of the checks.
  void sabotage(RoleContext& context, int process);

  // checks
  std::optional<FindingRecord> reported_damage();
  Verdict check_content();
  Verdict check_content_of(const Region& region, int pid);
  Verdict check_places();
  Result<std::optional<std::vector<Sight>>> look_everywhere();
  void count_hugetlb(const std::vector<Sight>& sights);
  Verdict check_hugetlb();
  Verdict check_isolated();
  Verdict check_quiet_moves();
  Verdict check_quiet_bind();
  Result<> ask_after(std::vector<QuietMove>& moves, const std::vector<std::uintptr_t>& addresses,
                     int pid);
  QuietBatch choose_quiet(int process);
  Verdict judge_events(const KernelCounters& before, const KernelCounters& after,
                       const QuietBatch& batch);
  void choose_rebuild(const std::vector<Sight>& sights);
  Result<> count_kernel_events();
  Clock::time_point settled() const;

  bool provoked(std::string_view what) const { return provoke_ == what; }
  bool is_due(std::uint64_t every) const { return checks_.value() % every == 0; }

  Environment* env_ = nullptr;
  std::string provoke_;
  std::vector<int> nodes_;
  ShmemAlwaysHuge shmem_;
  SharedMemory memory_;
  Book* book_ = nullptr;
  std::vector<Owner> owners_;
  std::vector<Region> regions_;
  std::unique_ptr<Movers> movers_;
  std::size_t mover_count_ = 0;

  std::optional<Random> random_;  // of check()
  std::optional<NodeRanges> ranges_;
  std::optional<PageFlags> flags_;
  std::optional<KernelLog> log_;
  std::optional<HugetlbLedger> ledger_;  // before anything was mapped; unset without hugetlb
  KernelCounters vmstat_before_;
  std::map<int, std::uint64_t> hugetlb_on_;  // units by node, as the page map says
  bool hugetlb_known_ = false;
  std::optional<Mapping> leaked_;

  Counter cells_written_, cells_read_, checks_, disturbed_, rebuilt_, quiet_moves_;
  std::map<std::string, Counter> kernel_events_;
};

}  // namespace mmquake
