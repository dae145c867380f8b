// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/runner/role_host.h"

#include <fmt/format.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <set>

#include "guest/race/placement.h"
#include "guest/runner/crash.h"

namespace mmquake {
namespace {

class Context final : public RoleContext {
 public:
  Context(SharedState& state, RoleSlot& slot, std::uint64_t seed, std::string stream)
      : state_(state),
        slot_(slot),
        seed_(seed),
        stream_(std::move(stream)),
        random_(seed, stream_) {}

  void begin_round() {
    round_ = state_.round.load(std::memory_order_relaxed);
    // A stream a round: what a role draws does not depend on how far it got in earlier rounds.
    random_ = Random(seed_, stream_ + "#" + std::to_string(round_));
    slot_.progress_ns.store(monotonic_ns(), std::memory_order_relaxed);
  }

  std::uint64_t round() const override { return round_; }
  Random& random() override { return random_; }
  void step() override {
    slot_.steps.fetch_add(1, std::memory_order_relaxed);
    slot_.progress_ns.store(monotonic_ns(), std::memory_order_relaxed);
  }
  bool stopping() const override { return state_.stopping.load(std::memory_order_acquire) != 0; }

 private:
  SharedState& state_;
  RoleSlot& slot_;
  std::uint64_t seed_;
  std::string stream_;
  Random random_;
  std::uint64_t round_ = 0;
};

int place(const Role& role, const std::vector<int>& cpus) {
  pthread_setname_np(pthread_self(), role.name.substr(0, 15).c_str());
  if (role.cpu < 0) {
    return 0;
  }
  if (static_cast<std::size_t>(role.cpu) >= cpus.size()) {
    return EINVAL;
  }
  return pin_to_cpu(cpus[static_cast<std::size_t>(role.cpu)]) ? 0 : EINVAL;
}

}  // namespace

RoleHost::~RoleHost() {
  for (const Child& child : children_) {
    kill(child.pid, SIGKILL);
    // Not waited for: it may be stuck in the kernel. Its new parent reaps it.
    waitpid(child.pid, nullptr, WNOHANG);
  }
  for (std::thread& thread : threads_) {
    if (thread.joinable()) {
      thread.detach();
    }
  }
}

Result<> RoleHost::start(Deadline deadline) {
  if (roles_.empty() || roles_.size() > kMaxRoles) {
    return broken(fmt::format("the workload declares {} roles; it may have 1 to {}", roles_.size(),
                              kMaxRoles));
  }
  for (std::size_t i = 0; i < roles_.size(); ++i) {
    RoleSlot& slot = state_.roles[i];
    const std::string name = roles_[i].name.substr(0, slot.name.size() - 1);
    std::copy(name.begin(), name.end(), slot.name.begin());
  }
  state_.role_count.store(static_cast<std::uint32_t>(roles_.size()), std::memory_order_release);
  if (Result<> forked = fork_children(); !forked) {
    return forked;
  }
  for (std::size_t i = 0; i < roles_.size(); ++i) {
    if (roles_[i].process == 0) {
      threads_.emplace_back([this, i] { run_role(i); });
    }
  }
  if (!state_.gate.wait_arrivals(static_cast<std::uint32_t>(roles_.size()), deadline)) {
    return broken(death().value_or("the roles did not all start in time"));
  }
  for (std::size_t i = 0; i < roles_.size(); ++i) {
    if (const int error = state_.roles[i].start_error.load(); error != 0) {
      return broken(fmt::format("pin role '{}' to CPU index {} of {}: {}", roles_[i].name,
                                roles_[i].cpu, cpus_.size(), std::strerror(error)));
    }
  }
  return {};
}

Result<> RoleHost::fork_children() {
  std::set<int> processes;
  for (const Role& role : roles_) {
    processes.insert(role.process);
  }
  processes.erase(0);
  for (const int process : processes) {
    const pid_t pid = fork();
    if (pid < 0) {
      return broken(fmt::format("fork process {} of the roles: {}", process, std::strerror(errno)));
    }
    if (pid == 0) {
      run_child(process);
    }
    children_.push_back({process, pid});
  }
  return {};
}

void RoleHost::run_child(int process) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  children_.clear();
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < roles_.size(); ++i) {
    if (roles_[i].process == process) {
      threads.emplace_back([this, i] { run_role(i); });
    }
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  _exit(0);
}

void RoleHost::run_role(std::size_t index) {
  const Role& role = roles_[index];
  RoleSlot& slot = state_.roles[index];
  const SignalStack stack;
  slot.pid.store(getpid());
  slot.tid.store(gettid());
  slot.start_error.store(place(role, cpus_));
  Context context(state_, slot, seed_, "role/" + role.name);
  std::uint32_t seen = 0;
  state_.gate.arrive();
  while (state_.gate.pass(seen)) {
    context.begin_round();
    slot.state.store(RoleState::kRunning);
    role.body(context);
    slot.state.store(RoleState::kParked);
    state_.gate.arrive();
  }
  slot.state.store(RoleState::kDone);
  state_.gate.arrive();
}

std::string RoleHost::roles_of(int process) const {
  std::string names;
  for (const Role& role : roles_) {
    if (role.process == process) {
      names += (names.empty() ? "" : ", ") + role.name;
    }
  }
  return names;
}

std::optional<std::string> RoleHost::death() {
  for (auto child = children_.begin(); child != children_.end(); ++child) {
    int status = 0;
    if (waitpid(child->pid, &status, WNOHANG) == child->pid) {
      const std::string who =
          fmt::format("process {} of the roles ({})", child->process, roles_of(child->process));
      children_.erase(child);
      return describe_death(who, status, state_);
    }
  }
  return std::nullopt;
}

bool RoleHost::finish(Deadline deadline) {
  state_.gate.close();
  if (!state_.gate.wait_arrivals(static_cast<std::uint32_t>(roles_.size()), deadline)) {
    return false;
  }
  for (std::thread& thread : threads_) {
    thread.join();
  }
  threads_.clear();
  for (const Child& child : children_) {
    waitpid(child.pid, nullptr, 0);
  }
  children_.clear();
  return true;
}

}  // namespace mmquake
