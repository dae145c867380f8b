// SPDX-License-Identifier: GPL-2.0-or-later
//
// Who watches over the memory of a composition from a role of his own: userfaultfd, or a device.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "guest/runner/workload.h"
#include "workloads/compose/deed.h"

namespace mmquake {

class Watcher {
 public:
  virtual ~Watcher() = default;
  // In set_up(). An error of kind kSkipped names what the kernel lacks.
  virtual Result<> prepare(ComposeWorld& world) = 0;
  // The role's body for one round, in process 0. `users_left`: someone may still touch the memory.
  virtual Result<> watch(ComposeWorld& world, RoleContext& context,
                         const std::function<bool()>& users_left) = 0;
  // Before process 0 writes a cell; what that says is handed to wrote().
  virtual std::uint64_t before_write(const BlockBook& /*book*/) const { return 0; }
  // After the write. The text for ComposeBook::damage: the watcher should have been told.
  virtual std::optional<std::string> wrote(const Area& /*area*/, std::size_t /*block*/,
                                           std::size_t /*cell*/, std::uint64_t /*before*/) const {
    return std::nullopt;
  }
  // May check() read memory that is not there?
  virtual bool serves_faults() const { return false; }
  // Lets go whoever waits, after a hang was reported.
  virtual bool rescue(ComposeWorld& /*world*/) { return false; }
};

// nullptr: no such word.
std::unique_ptr<Watcher> make_watcher(std::string_view name);
std::unique_ptr<Watcher> make_uffd_watcher(std::string_view name);

}  // namespace mmquake
