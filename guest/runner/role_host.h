// SPDX-License-Identifier: GPL-2.0-or-later
//
// Owns the threads and processes that roles run in. Forks before it makes threads.
#pragma once

#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "guest/runner/shared_state.h"
#include "guest/runner/workload.h"

namespace mmquake {

class RoleHost {
 public:
  // `cpus` is what Role::cpu indexes. The calling process must have one thread only when a
  // role asks for a process of its own.
  RoleHost(SharedState& state, const std::vector<Role>& roles, const std::vector<int>& cpus,
           std::uint64_t seed)
      : state_(state), roles_(roles), cpus_(cpus), seed_(seed) {}
  RoleHost(const RoleHost&) = delete;
  RoleHost& operator=(const RoleHost&) = delete;
  // Kills the child processes. Threads must have been joined, or the process be about to end.
  ~RoleHost();

  // Starts everything; returns once each role waits at the gate.
  Result<> start(Deadline deadline);

  // What became of a child process that is gone although nobody asked it to.
  std::optional<std::string> death();

  // Closes the gate and collects threads and processes. False: some did not end by the
  // deadline; they are left alone, and the process must end without a destructor of theirs.
  bool finish(Deadline deadline);

 private:
  struct Child {
    int process;
    int pid;
  };

  Result<> fork_children();
  [[noreturn]] void run_child(int process);
  void run_role(std::size_t index);
  std::string roles_of(int process) const;

  SharedState& state_;
  const std::vector<Role>& roles_;
  const std::vector<int>& cpus_;
  std::uint64_t seed_;
  std::vector<std::thread> threads_;
  std::vector<Child> children_;
};

}  // namespace mmquake
