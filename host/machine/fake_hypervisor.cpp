// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/machine/fake_hypervisor.h"

#include <algorithm>
#include <thread>

namespace mmquake {
namespace {

class FakeMachine final : public Machine {
 public:
  FakeMachine(FakeScript script, std::shared_ptr<FakeMachineLog> log,
              std::function<void(std::chrono::milliseconds)> idle)
      : script_(std::move(script)), log_(std::move(log)), idle_(std::move(idle)) {}
  FakeMachine(const FakeMachine&) = delete;
  FakeMachine& operator=(const FakeMachine&) = delete;
  ~FakeMachine() override { log_->destroyed = true; }

  Result<MachineActivity> wait(std::chrono::milliseconds timeout) override;
  Result<> send(std::string_view bytes) override {
    if (log_->destroyed) return broken("send: the VM has ended");
    log_->sent.emplace_back(bytes);
    happened(FakeStep::WaitsFor::kSend);
    return {};
  }
  Result<> inject_nmi() override {
    ++log_->nmis;
    happened(FakeStep::WaitsFor::kNmi);
    return {};
  }
  Result<> resume() override {
    ++log_->resumes;
    if (state_ == MachineState::kCrashed) state_ = MachineState::kRunning;
    happened(FakeStep::WaitsFor::kResume);
    return {};
  }
  Result<std::string> monitor(const std::string& hmp_command) override {
    log_->monitor.push_back(hmp_command);
    return script_.monitor ? script_.monitor(hmp_command) : std::string();
  }
  Result<> dump(const std::filesystem::path& file) override {
    log_->dumps.push_back(file);
    return script_.dump ? script_.dump(file) : Result<>();
  }
  std::vector<VcpuTime> vcpu_times() override {
    return script_.vcpu_times ? script_.vcpu_times() : std::vector<VcpuTime>();
  }
  Result<> destroy() override {
    log_->destroyed = true;
    if (state_ != MachineState::kHostFailed) state_ = MachineState::kOff;
    return {};
  }

 private:
  void happened(FakeStep::WaitsFor what) {
    if (next_ < script_.steps.size() && script_.steps[next_].waits_for == what) released_ = true;
  }
  MachineActivity quiet() const {
    MachineActivity activity;
    activity.state = state_;
    activity.host_failure = host_failure_;
    return activity;
  }

  FakeScript script_;
  std::shared_ptr<FakeMachineLog> log_;
  std::function<void(std::chrono::milliseconds)> idle_;
  std::size_t next_ = 0;
  bool released_ = false;
  std::chrono::milliseconds waited_{0};  // of the next step's `after`
  MachineState state_ = MachineState::kRunning;
  std::string host_failure_;
};

Result<MachineActivity> FakeMachine::wait(std::chrono::milliseconds timeout) {
  const bool more = !log_->destroyed && next_ < script_.steps.size();
  const bool open =
      more && (released_ || script_.steps[next_].waits_for == FakeStep::WaitsFor::kNothing);
  if (!open) {
    if (state_ == MachineState::kRunning) idle_(timeout);
    return quiet();
  }
  const FakeStep& step = script_.steps[next_];
  if (waited_ < step.after) {
    const auto part = std::min(timeout, step.after - waited_);
    idle_(part);
    waited_ += part;
    if (waited_ < step.after) return quiet();
  }
  ++next_;
  released_ = false;
  waited_ = std::chrono::milliseconds(0);
  state_ = step.activity.state;
  host_failure_ = step.activity.host_failure;
  return step.activity;
}

}  // namespace

FakeHypervisor::FakeHypervisor(std::vector<FakeScript> scripts)
    : scripts_(std::move(scripts)),
      idle_([](std::chrono::milliseconds time) { std::this_thread::sleep_for(time); }) {
  if (scripts_.empty()) scripts_.emplace_back();
}

FakeHypervisor::~FakeHypervisor() = default;

Result<std::unique_ptr<Machine>> FakeHypervisor::start(const BootRequest& request) {
  const FakeScript& script = scripts_[std::min(log_.size(), scripts_.size() - 1)];
  auto log = std::make_shared<FakeMachineLog>();
  log->request = request;
  log_.push_back(log);
  if (!script.start_error.empty()) return broken(script.start_error);
  return std::make_unique<FakeMachine>(script, std::move(log), idle_);
}

}  // namespace mmquake
