// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a workload is: a region of memory, roles that race on it, and an oracle.
// The runner owns threads, processes and the round loop; a workload only declares.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "guest/protocol/records.h"

namespace mmquake {

// What a workload cannot run without. A lack is `skipped`, with the lack named.
struct Needs {
  int numa_nodes = 1;  // nodes with memory
  int cpus = 1;
  std::uint64_t free_mib_per_node = 0;
  std::uint64_t hugetlb_2m_per_node = 0;  // pages; the runner reserves them and gives them back
  std::vector<std::string> files;         // paths that must exist and be readable
  bool userfaultfd = false;
  bool thp = false;
};

// One parameter that --param and a case may set. Values are checked by the host before a boot.
struct ParamSpec {
  enum class Type { kInteger, kChoice };
  std::string name;
  Type type = Type::kInteger;
  std::string default_value;
  std::int64_t min = 0, max = 0;     // kInteger
  std::vector<std::string> choices;  // kChoice
  std::string help;
};

// A kChoice; the first choice is the default.
ParamSpec choice_param(std::string name, std::vector<std::string> choices, std::string help);

// The parameter `known-bugs`: whether a workload does what is known to end on unpatched kernels in
// a bug that nobody has mended, and which would hide what comes behind it. `where` says which.
ParamSpec known_bugs_param(const std::string& where);

struct WorkloadInfo {
  std::string name;
  std::string summary;                 // one line for `mmquake list`
  std::vector<std::string> exercises;  // system calls and kernel paths
  Needs needs;
  std::vector<ParamSpec> params;
};

// SplitMix64-seeded xoshiro256**; every stream is named, so that adding a role does not change
// what another one draws.
class Random {
 public:
  Random(std::uint64_t seed, std::string_view stream);
  std::uint64_t next();
  std::uint64_t below(std::uint64_t bound);  // [0, bound); bound > 0
  bool chance(double probability);

 private:
  std::uint64_t s_[4];
};

// A named counter in memory that all roles share, also across processes.
class Counter {
 public:
  void add(std::uint64_t n = 1);
  std::uint64_t value() const;

 private:
  friend class SharedCounters;
  std::uint64_t* slot_ = nullptr;
};

// What the runner gives to set_up(). Lives as long as the workload.
class Environment {
 public:
  virtual ~Environment() = default;
  virtual std::int64_t param_int(const std::string& name) const = 0;
  virtual std::string param(const std::string& name) const = 0;
  virtual std::uint64_t seed() const = 0;
  virtual const std::vector<int>& memory_nodes() const = 0;
  virtual const std::vector<int>& cpus() const = 0;
  // A watchdog time for this accelerator: t times the measured slowdown.
  virtual std::chrono::nanoseconds scaled(std::chrono::nanoseconds t) const = 0;
  // Creates the counter on first use; only during set_up() and roles().
  virtual Counter counter(const std::string& name) = 0;
  virtual void note(const std::string& text) = 0;
};

// Of a workload that has known_bugs_param().
bool avoids_known_bugs(const Environment& env);

// What a role sees. One per role; valid in its own thread.
class RoleContext {
 public:
  virtual ~RoleContext() = default;
  virtual std::uint64_t round() const = 0;
  virtual Random& random() = 0;
  virtual void step() = 0;  // "I made progress": feeds heartbeat and watchdog
  // The runner wants this round to end now: another role is stuck, or the time is over. A body
  // does a bounded amount of work a round and looks here only to end sooner.
  virtual bool stopping() const = 0;
};

// One racing thread. `process` 0 is the runner's own process; roles with the same other number
// share one forked child. The body runs once a round, between two gates that the runner owns.
struct Role {
  std::string name;  // also the thread's name (15 characters): the widener filters on it
  std::function<void(RoleContext&)> body;
  int process = 0;
  int cpu = -1;  // index into Environment::cpus(); -1: not pinned
  // The watchdog's limit for one round of this role, before scaling.
  std::chrono::milliseconds limit{3000};
};

// A hang as the runner sees it, handed to the workload to judge.
struct Stuck {
  std::string role;
  int tid = 0;
  std::string stack;  // /proc/TID/stack
  std::string wchan;
};

class Workload {
 public:
  virtual ~Workload() = default;
  virtual Result<> set_up(Environment& env) = 0;
  virtual std::vector<Role> roles() = 0;
  // Between rounds, every role parked. The oracle.
  virtual std::optional<FindingRecord> check() { return std::nullopt; }
  // A role passed its limit, the others are quiesced and the grace is over. The workload says
  // whether the kernel is to blame (a finding) or the role waits rightly (nullopt). Unless it is
  // overridden: a hang, titled "hang in F" with the function that blamed_function() finds in
  // stack and wchan; nullopt for a role that was seen in user space only. The runner fills in
  // role, time, round and the evidence that is missing.
  virtual std::optional<FindingRecord> judge(const Stuck& stuck);
  // How much the kernel has done on behalf of roles that wait. While it grows, a role that is over
  // its limit counts as slow and not as stuck, for a bounded time. Unless it is overridden: the
  // pages that the kernel has tried to migrate. One call may move hundreds of thousands, and under
  // TCG each PTE that it takes away costs an interrupt of every CPU.
  virtual std::uint64_t kernel_work();
  // Frees the stuck role, so that the rounds can go on. False: it cannot be freed.
  virtual bool rescue(const Stuck& /*stuck*/) { return false; }
  // After the last round: did the trial do what it claims? An error makes the trial `broken`.
  virtual Result<> verify_work() { return {}; }
  // At the very end, the roles' threads and processes gone: lets go of what the workload had, and
  // says what did not come back. Not called when the trial has a finding or is broken.
  virtual std::optional<FindingRecord> check_aftermath() { return std::nullopt; }
};

using WorkloadFactory = std::function<std::unique_ptr<Workload>()>;

// All workloads of this binary, by name.
class Registry {
 public:
  struct Entry {
    WorkloadInfo info;
    WorkloadFactory make;
  };
  static Registry& instance();
  void add(WorkloadInfo info, WorkloadFactory make);  // aborts on a second one of that name
  const Entry* find(std::string_view name) const;
  const std::map<std::string, Entry, std::less<>>& entries() const { return entries_; }

 private:
  std::map<std::string, Entry, std::less<>> entries_;
};

// Registers at start-up. Workloads are linked as CMake OBJECT libraries, since a linker drops
// registrars from a static archive.
#define REGISTER_WORKLOAD(Class)                                              \
  static const bool k##Class##Registered = [] {                               \
    ::mmquake::Registry::instance().add(Class::info(), [] {                   \
      return std::unique_ptr<::mmquake::Workload>(std::make_unique<Class>()); \
    });                                                                       \
    return true;                                                              \
  }()

}  // namespace mmquake
