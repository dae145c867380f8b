// SPDX-License-Identifier: GPL-2.0-or-later
//
// The workload uffd-thp-wait; its story is in uffd_thp_wait.cpp. What memory a variant has, and how
// a page comes, is in uffd_area.cpp; what is wrong, in uffd_oracle.cpp.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "guest/memory/mapping.h"
#include "guest/memory/numa.h"
#include "guest/memory/page_map.h"
#include "guest/memory/userfaultfd.h"
#include "guest/runner/workload.h"
#include "workloads/uffd/round_signal.h"
#include "workloads/uffd/shmem_always_huge.h"

namespace mmquake {

inline constexpr std::size_t kPagesOfHuge = kHugePage / kSmallPage;

// The words of a page that the roles use. Both lie in the faulter's 4K page: when a split THP is
// written, only the page that was written becomes writable.
struct PageWords {
  std::atomic<std::uint64_t> faulter;
  std::atomic<std::uint64_t> filler;
};

class UffdThpWait final : public Workload {
 public:
  static WorkloadInfo info();
  Result<> set_up(Environment& env) override;
  std::vector<Role> roles() override;
  std::optional<FindingRecord> check() override;
  std::optional<FindingRecord> judge(const Stuck& stuck) override;
  bool rescue(const Stuck& stuck) override;
  Result<> verify_work() override;

 private:
  Result<> map();
  Result<> prepare(RoleContext& context);
  Result<> prepare_move(std::uint64_t round);
  void stamp_alias(std::uint64_t stamp) const;
  void fault(RoleContext& context);
  void fill(RoleContext& context);
  // Bring the page, in uffd_area.cpp.
  Result<> resolve(RoleContext& context);
  Result<> resolve_missing(std::uint64_t round);
  Result<> resolve_write_protected(std::uint64_t round);
  Result<> resolve_by_move(RoleContext& context);
  Result<> move_part(std::size_t from, std::size_t to);
  Result<> resolve_by_collapse(std::uint64_t round);
  void scribble() const;
  void migrate(RoleContext& context);
  // Whether every page is at the target.
  bool count_moves(const MoveResult& moved, int target);
  void monitor(RoleContext& context);

  bool is_wp() const { return variant_ == "anon-wp"; }
  bool is_shmem() const { return variant_ == "shmem-missing"; }
  bool is_move() const { return variant_ == "anon-move"; }
  bool is_collapse() const { return variant_ == "anon-collapse"; }
  // Every page of the huge page is stamped, and comes back by userfaultfd itself.
  bool brings_all() const { return is_move() || is_collapse(); }
  bool provoked(std::string_view what) const { return provoke_ == what; }
  static PageWords& words_of(const Mapping& in, std::size_t page) {
    return *reinterpret_cast<PageWords*>(in.data() + page * kSmallPage);
  }
  PageWords& words(const Mapping& in) const { return words_of(in, page_.load()); }
  // What the migrator moves.
  std::vector<std::uintptr_t> targets() const;
  std::uintptr_t fault_address() const { return registered_.address() + page_.load() * kSmallPage; }
  // In uffd_oracle.cpp.
  std::optional<std::string> why_innocent(PageEntry entry) const;
  std::optional<FindingRecord> check_words(std::uint64_t stamp);
  Result<std::optional<FindingRecord>> check_all_pages(std::uint64_t stamp);
  // Wakes the faulter and waits until its round is over.
  std::optional<std::chrono::microseconds> release();
  std::string order_of_events() const;
  // What /proc/vmstat has counted since set_up(); kept in the counter as well.
  Result<std::uint64_t> thp_moved();
  void fail(Error error);
  bool await(RoundSignal& signal, RoleContext& context);

  Environment* env_ = nullptr;
  std::string variant_, provoke_;
  std::uint64_t max_fill_delay_us_ = 0;
  std::array<int, 2> nodes_{};
  ShmemAlwaysHuge shmem_;
  Mapping registered_;  // the faulter's
  // shmem: the same file, not registered. The others: where what the faulter waits for is made, to
  // be moved or copied into the registered area.
  Mapping alias_;
  std::optional<Userfaultfd> uffd_;
  std::uint64_t thp_moved_before_ = 0;

  std::atomic<std::size_t> page_{0};  // of the huge page; drawn for each round
  std::atomic<std::uint64_t> round_{0};
  RoundSignal prepared_, faulting_, event_, resolved_, woken_, finished_;
  std::atomic<std::uint64_t> seen_{0};  // what the faulter read
  std::atomic<bool> failed_{false};
  std::mutex error_mutex_;
  std::optional<Error> error_;
  // The migrator's calls: odd while one lasts.
  std::atomic<std::uint64_t> migrations_{0};
  Counter brought_, met_, collapsed_, not_collapsed_, overlaps_;
  Counter moved_, busy_, absent_, unmoved_, events_, late_events_, repeated_events_, zero_reads_,
      innocent_, thp_moved_;
};

}  // namespace mmquake
