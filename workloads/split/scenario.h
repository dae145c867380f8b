// SPDX-License-Identifier: GPL-2.0-or-later
//
// One way in which the split or the truncation of a huge page meets somebody who unmaps it, or
// looks at it. The workload thp-split owns roles, timing and verdict; a scenario knows the memory.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "guest/protocol/result.h"
#include "workloads/split/split_judge.h"

namespace mmquake {

// What breaks the rules on purpose, to prove the oracle.
enum class Provoke { kNone, kNoZap, kScribble };

class SplitScenario {
 public:
  virtual ~SplitScenario() = default;

  // Names of the two threads. The first prepares and looks at the end.
  virtual const char* first_role() const = 0;
  virtual const char* second_role() const = 0;
  // The event of /proc/vmstat without which nothing was tested.
  virtual const char* proof() const = 0;
  virtual bool can(Provoke provoke) const = 0;
  // Functions of the kernel of which the first that there is shall be counted; none is no lack.
  virtual std::vector<std::string> watched() const { return {}; }
  // The part of first(), from its start on, in which second() matters; for the OverlapTuner.
  virtual double focus() const { return 1; }

  // Once. `nodes`: those with memory. An error of kind kSkipped names what is missing.
  virtual Result<> set_up(const std::vector<int>& nodes, Provoke provoke) = 0;

  // One attempt: prepare() by the first role alone, then first() and second() at once, then
  // look() by the first role alone. `stamp` is never 0 and differs between attempts.
  virtual Result<> prepare(std::uint64_t stamp) = 0;
  virtual Result<> first() = 0;
  virtual Result<> second() = 0;
  virtual Result<std::vector<SeenValue>> look(std::uint64_t stamp) = 0;

  // Address that a huge page should back after prepare().
  virtual std::uintptr_t huge_address() const = 0;
};

// The names that make_scenario() knows.
std::vector<std::string> scenario_names();
std::unique_ptr<SplitScenario> make_scenario(std::string_view name);

// For make_scenario(): nullptr if it is not one of theirs.
std::unique_ptr<SplitScenario> make_anon_scenario(std::string_view name);
std::unique_ptr<SplitScenario> make_shmem_scenario(std::string_view name);
std::unique_ptr<SplitScenario> make_wait_scenario(std::string_view name);

}  // namespace mmquake
