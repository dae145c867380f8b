// SPDX-License-Identifier: GPL-2.0-or-later
//
// Hugetlb pages migrate while several address spaces see them through one shared page of PMDs.
// Whoever has a page, a process's TLB or a device's page table, must have the new one afterwards:
// all processes and devices always agree about what is in memory that they share.
//
// The mapcount of such a page is 1 however many processes have it, so a walk of its mappings ends
// at the first one unless huge_pmd_unshare() takes that process off the shared page first: the
// others keep their TLB entries and are not told (before 017b1660df89 "mm: migration: fix migration
// of huge PMD shared pages", 4.19).
#include <algorithm>
#include <atomic>
#include <memory>
#include <new>
#include <optional>

#include "guest/memory/numa.h"
#include "guest/runner/workload.h"
#include "workloads/hugetlb/consumer.h"
#include "workloads/hugetlb/shared_pmd_area.h"

namespace mmquake {
namespace {

constexpr std::int64_t kPagesPerNode = 40;
constexpr std::size_t kBookBytes = 256UL * 1024;

ParamSpec integer(const char* name, const char* value, std::int64_t min, std::int64_t max,
                  const char* help) {
  ParamSpec param;
  param.name = name;
  param.default_value = value;
  param.min = min;
  param.max = max;
  param.help = help;
  return param;
}

class HugetlbSharedPmd final : public Workload {
 public:
  static WorkloadInfo info();
  Result<> set_up(Environment& env) override;
  std::vector<Role> roles() override { return consumer_->roles(); }
  std::optional<FindingRecord> check() override;
  Result<> verify_work() override;

 private:
  Result<> take_params(Environment& env);
  Result<> make_book();

  std::string consumer_name_;
  bool unshare_first_ = false;
  SharedMemory book_;
  Setting setting_;
  std::unique_ptr<Consumer> consumer_;
};

WorkloadInfo HugetlbSharedPmd::info() {
  WorkloadInfo info;
  info.name = "hugetlb-shared-pmd";
  info.summary = "processes and devices use hugetlb pages behind shared PMDs while they migrate";
  info.exercises = {"move_pages", "hugetlb", "huge_pmd_share", "huge_pmd_unshare", "mmu_notifier"};
  info.needs.numa_nodes = 2;
  info.needs.cpus = 2;
  info.needs.hugetlb_2m_per_node = kPagesPerNode;
  info.needs.files = {"/proc/self/pagemap", "/proc/kpagecount"};
  info.params = {
      choice_param("consumer", {"cpu", "dmirror", "kvm", "rxe"},
                   "who uses the memory: processes, HMM's test device, a VM in the guest, or RDMA "
                   "by soft-RoCE, which pins half of it"),
      choice_param(
          "order", {"plain", "unshare-first"},
          "of a device's round: unshare-first moves one page of the shared PMD page before the "
          "others"),
      integer("pages", "24", 2, kPagesPerNode - 4, "huge pages in use; there are 40 on each node"),
      integer("writers", "6", 2, 16, "writing processes, for consumer cpu"),
      choice_param(
          "provoke",
          {"none", "no-move", "no-store", "roll-back", "stale-device-read", "lost-device-write"},
          "breaks the workload's rules, to test the oracle: no-move must be broken, the others "
          "found")};
  return info;
}

Result<> HugetlbSharedPmd::take_params(Environment& env) {
  consumer_name_ = env.param("consumer");
  unshare_first_ = env.param("order") == "unshare-first";
  setting_.provoke = env.param("provoke");
  setting_.pages = static_cast<std::size_t>(env.param_int("pages"));
  const bool cpu = consumer_name_ == "cpu";
  if (cpu && unshare_first_) {
    return usage("parameter order: 'unshare-first' does not exist for consumer cpu");
  }
  const bool of_cpu = setting_.provoked("no-store") || setting_.provoked("roll-back");
  const bool of_device =
      setting_.provoked("stale-device-read") || setting_.provoked("lost-device-write");
  if (cpu ? of_device : of_cpu) {
    return usage("parameter provoke: '" + setting_.provoke + "' does not exist for consumer " +
                 consumer_name_);
  }
  return {};
}

Result<> HugetlbSharedPmd::make_book() {
  Result<SharedMemory> book = SharedMemory::create(kBookBytes);
  if (!book) {
    return tl::make_unexpected(book.error());
  }
  book_ = std::move(*book);
  const Result<std::span<SharedText>> texts = book_.take<SharedText>(2);
  if (!texts) {
    return tl::make_unexpected(texts.error());
  }
  setting_.finding = &(*texts)[0];
  setting_.error = &(*texts)[1];
  return {};
}

Result<> HugetlbSharedPmd::set_up(Environment& env) {
  if (Result<> taken = take_params(env); !taken) {
    return taken;
  }
  setting_.nodes = env.memory_nodes();
  setting_.cpus = env.cpus();
  if (setting_.nodes.size() < 2) {
    return skipped("hugetlb-shared-pmd needs two nodes with memory");
  }
  setting_.migrations = env.counter("migrations");
  setting_.refused = env.counter("moves/refused");
  setting_.overlaps = env.counter("overlaps");
  setting_.shared = env.counter("pmd-page/shared");
  setting_.unshared = env.counter("pmd-page/not-shared");
  if (Result<> made = make_book(); !made) {
    return made;
  }
  if (consumer_name_ == "cpu") {
    consumer_ = make_cpu_consumer(setting_, book_, static_cast<int>(env.param_int("writers")));
  } else {
    const MirrorKind kind = consumer_name_ == "kvm"   ? MirrorKind::kKvm
                            : consumer_name_ == "rxe" ? MirrorKind::kRxe
                                                      : MirrorKind::kDmirror;
    consumer_ = make_device_consumer(setting_, kind, unshare_first_);
  }
  return consumer_->set_up(env);
}

std::optional<FindingRecord> HugetlbSharedPmd::check() {
  consumer_->check();
  std::optional<std::string> text = setting_.finding->take();
  if (!text) {
    return std::nullopt;
  }
  const std::size_t title = text->find('\n');
  const std::size_t role = text->find('\n', title + 1);
  FindingRecord finding;
  finding.kind = "corruption";
  finding.title = text->substr(0, title);
  finding.role = text->substr(title + 1, role - title - 1);
  finding.evidence["cell"] = text->substr(role + 1);
  finding.evidence["consumer"] = consumer_name_;
  return finding;
}

Result<> HugetlbSharedPmd::verify_work() {
  if (const std::optional<std::string> error = setting_.error->take()) {
    return broken(*error);
  }
  if (setting_.shared.value() == 0) {
    return broken("no page of PMDs was shared: every process had page tables of its own");
  }
  if (setting_.migrations.value() == 0) {
    return broken("no page was migrated");
  }
  if (setting_.overlaps.value() == 0) {
    return broken("no page was migrated while others used it");
  }
  return consumer_->verify_work();
}

REGISTER_WORKLOAD(HugetlbSharedPmd);

}  // namespace

void Setting::report(Witness witness, const std::string& role, const CellReading& reading,
                     const CellPlace& place, const std::string& where) {
  finding->put(title_of(witness, *reading.damage) + "\n" + role + "\n" +
               describe(reading.image, place, reading.oldest, reading.newest) + "\n" + where);
}

bool Setting::note_sharing(std::uintptr_t address, const std::vector<pid_t>& pids) {
  const Result<bool> is_shared = pmd_page_is_shared(address, pids);
  if (!is_shared) {
    fail(is_shared.error());
    return false;
  }
  (*is_shared ? shared : unshared).add();
  return *is_shared;
}

std::size_t Setting::move(pid_t pid, const std::vector<std::uintptr_t>& at, int node, Recount how) {
  const Result<std::vector<int>> before = nodes_of(pid, at);
  if (!before) {
    fail(before.error());
    return 0;
  }
  // Ask only for what is elsewhere: a page that is there already ends a batch, and what was moved
  // until then is no longer mapped here for the rest of the call.
  std::vector<std::uintptr_t> elsewhere;
  for (std::size_t page = 0; page < at.size(); ++page) {
    if ((*before)[page] >= 0 && (*before)[page] != node) {
      elsewhere.push_back(at[page]);
    }
  }
  std::vector<int> status = move_pages_to(pid, elsewhere, node).status;
  if (how == Recount::kTouched) {
    for (const std::uintptr_t page : elsewhere) {
      std::atomic_ref(*reinterpret_cast<std::uint64_t*>(page)).load();
    }
    const Result<std::vector<int>> after = nodes_of(pid, elsewhere);
    if (!after) {
      fail(after.error());
      return 0;
    }
    status = *after;
  }
  const auto moved = static_cast<std::size_t>(std::count(status.begin(), status.end(), node));
  migrations.add(moved);
  refused.add(status.size() - moved);
  return moved;
}

}  // namespace mmquake
