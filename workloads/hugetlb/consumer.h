// SPDX-License-Identifier: GPL-2.0-or-later
//
// Who uses the shared memory of hugetlb-shared-pmd while its pages migrate: processes, or a device.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "guest/runner/workload.h"
#include "workloads/hugetlb/judge.h"
#include "workloads/migration/shared_book.h"

namespace mmquake {

// How moved pages are counted. The kernel tells no status of a batch of which it could not move all
// pages, and a page that moved may be mapped no more where it was asked for.
enum class Recount {
  kStatuses,  // as move_pages said
  kTouched,   // the caller touches the pages, and asks where they are
};

// What consumers have in common. Lives in the workload; the texts lie in shared memory.
struct Setting {
  std::vector<int> nodes;
  std::vector<int> cpus;
  std::size_t pages = 0;
  std::string provoke;
  SharedText* finding = nullptr;  // title, role, evidence: a line, a line, the rest
  SharedText* error = nullptr;
  Counter migrations, refused, overlaps, shared, unshared;

  bool provoked(std::string_view what) const { return provoke == what; }
  bool over() const { return finding->is_set() || error->is_set(); }
  // The harness failed.
  void fail(const Error& why) const { error->put(why.message); }
  // `where`: what the page maps say about the page.
  void report(Witness witness, const std::string& role, const CellReading& reading,
              const CellPlace& place, const std::string& where);
  // Asks whether the processes see the page through one page of PMDs, and counts the answer.
  bool note_sharing(std::uintptr_t address, const std::vector<pid_t>& pids);
  // Moves those of a process's pages (0: the caller) that are not on `node` yet. Says how many
  // are there now.
  std::size_t move(pid_t pid, const std::vector<std::uintptr_t>& pages, int node, Recount how);
};

class Consumer {
 public:
  virtual ~Consumer() = default;
  virtual Result<> set_up(Environment& env) = 0;
  virtual std::vector<Role> roles() = 0;
  // Between rounds; reports into the setting.
  virtual void check() {}
  virtual Result<> verify_work() { return {}; }
};

// `book` outlives the consumer.
std::unique_ptr<Consumer> make_cpu_consumer(Setting& setting, SharedMemory& book, int writers);
enum class MirrorKind { kDmirror, kKvm, kRxe };
std::unique_ptr<Consumer> make_device_consumer(Setting& setting, MirrorKind kind,
                                               bool unshare_first);

}  // namespace mmquake
