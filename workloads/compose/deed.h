// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a mover or a disturber of a composition does, once and again.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "guest/protocol/composition.h"
#include "guest/runner/workload.h"
#include "workloads/compose/area.h"

namespace mmquake {

inline constexpr std::string_view kDemotion = "demotion";  // a mover

// What every part of the workload knows. Made before the first fork.
struct ComposeWorld {
  Composition composition;
  std::vector<int> nodes;
  std::vector<int> cpus;
  Environment* env = nullptr;
  Area area;
  ComposeBook* book = nullptr;
  std::string swap_device;  // what a composition with swap swaps to
  std::size_t deeds =
      0;  // movers and disturbers; ComposeBook counts those that are done in a round
};

// What came of one act. The kernel may refuse nearly everything for a good reason (EBUSY, EAGAIN,
// ENOMEM): that is counted, and is no error.
enum class Act { kDone, kRefused };

class Deed {
 public:
  virtual ~Deed() = default;
  // In set_up(). An error of kind kSkipped names what kernel or machine lacks.
  virtual Result<> prepare(ComposeWorld& /*world*/) { return {}; }
  virtual int process() const { return 0; }
  // In a role, once and again. An error is the harness's.
  virtual Result<Act> act(ComposeWorld& world, RoleContext& context) = 0;
};

// nullptr: no such word.
std::unique_ptr<Deed> make_mover(std::string_view name);
std::unique_ptr<Deed> make_disturber(std::string_view name);

// Takes a block's pages away with their content, while no role is at work, and maps it anew, so
// that process 0's next touch brings a huge page: that takes an empty PMD, and a table of PTEs
// goes with its mapping only. False: a role that is stuck is at it.
Result<bool> renew_block(const Area& area, std::size_t block);

// A part of make_mover().
std::unique_ptr<Deed> make_demotion();

// The parts of make_disturber().
std::unique_ptr<Deed> make_emptier(std::string_view name);
std::unique_ptr<Deed> make_fork_cow();
std::unique_ptr<Deed> make_debugger();
std::unique_ptr<Deed> make_reader(std::string_view name);

}  // namespace mmquake
