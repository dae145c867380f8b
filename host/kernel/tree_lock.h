// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "guest/protocol/result.h"
#include "host/kernel/files.h"
#include "host/kernel/reporter.h"

namespace mmquake::kernel {

// A lock among all mmquake processes of a user (flock): the kernel lets it go however its owner
// ends. The file holds the owner's PID, for the message of those who wait.
class TreeLock {
 public:
  // Waits for it, saying for whom; `what` is what the lock guards: "the build tree of x".
  static Result<TreeLock> wait(const std::filesystem::path& file, const std::string& what,
                               Reporter& reporter);
  // nullopt: somebody has it.
  static Result<std::optional<TreeLock>> try_now(const std::filesystem::path& file);

  // For good: takes the file away too. Whoever waits on it makes a new one.
  void retire(const std::filesystem::path& file) &&;

 private:
  explicit TreeLock(OwnedFd fd) : fd_(std::move(fd)) {}
  OwnedFd fd_;
};

// The name of the environment variable by which a build's processes are known, whoever owns them
// now. Its value is the build tree.
inline constexpr const char* kTreeVariable = "MMQUAKE_BUILD_TREE";

// Ends what a killed mmquake left running in `tree` (make goes on without its parent). To be
// called by the owner of the tree's lock: nothing may run there then.
Result<> end_leftovers(const std::filesystem::path& tree, Reporter& reporter);

}  // namespace mmquake::kernel
