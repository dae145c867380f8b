// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/machine/vm_status.h"

#include <fmt/format.h>
#include <libvirt/libvirt.h>
#include <sys/eventfd.h>

#include <cstdint>
#include <cstring>

namespace mmquake {

VmStatus::VmStatus() : changed_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

void VmStatus::become(MachineState state) {
  if (state_ == MachineState::kOff || state_ == MachineState::kHostFailed) return;
  state_ = state;
  const std::uint64_t one = 1;
  // Cannot fail: the counter is far from its end. Even lost news is seen at wait's timeout.
  [[maybe_unused]] const ssize_t written = write(changed_.get(), &one, sizeof(one));
}

void VmStatus::become_failed(const std::string& reason) {
  if (end_expected_) {
    become(MachineState::kOff);
    return;
  }
  if (state_ != MachineState::kOff && state_ != MachineState::kHostFailed) host_failure_ = reason;
  become(MachineState::kHostFailed);
}

void VmStatus::on_lifecycle(int event, int detail) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (event == VIR_DOMAIN_EVENT_CRASHED && state_ == MachineState::kRunning) {
    become(MachineState::kCrashed);
  } else if (event == VIR_DOMAIN_EVENT_SHUTDOWN) {
    // A SIGTERM from somebody ends in STOPPED_SHUTDOWN like the guest's own power-off, for which
    // there is no need to wait: libvirt takes 0.2 s more to end QEMU.
    ended_by_host_signal_ = detail == VIR_DOMAIN_EVENT_SHUTDOWN_HOST;
    if (detail == VIR_DOMAIN_EVENT_SHUTDOWN_GUEST) become(MachineState::kOff);
  } else if (event == VIR_DOMAIN_EVENT_STOPPED) {
    if (detail == VIR_DOMAIN_EVENT_STOPPED_FAILED) {
      become_failed("QEMU ended by itself");
    } else if (ended_by_host_signal_ && detail == VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN) {
      become_failed("a signal from the host ended QEMU");
    } else {
      become(MachineState::kOff);
    }
  }
}

void VmStatus::on_exit(const siginfo_t& info) {
  const std::lock_guard<std::mutex> lock(mutex_);
  exited_ = true;
  exit_news_.notify_all();
  if (info.si_code == CLD_EXITED) {
    // Exit code 0 is a power-off or a SIGTERM: libvirt's event tells which.
    if (info.si_status != 0) {
      become_failed(fmt::format("QEMU ended with exit code {}", info.si_status));
    }
    return;
  }
  become_failed(
      fmt::format("QEMU was ended by signal {} ({})", info.si_status, strsignal(info.si_status)));
}

void VmStatus::fail(const std::string& reason) {
  const std::lock_guard<std::mutex> lock(mutex_);
  become_failed(reason);
}

void VmStatus::expect_end() {
  const std::lock_guard<std::mutex> lock(mutex_);
  end_expected_ = true;
}

bool VmStatus::has_exited(std::chrono::milliseconds patience) const {
  std::unique_lock<std::mutex> lock(mutex_);
  return exit_news_.wait_for(lock, patience, [this] { return exited_; });
}

bool VmStatus::leave_crash() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (state_ != MachineState::kCrashed) return false;
  become(MachineState::kRunning);
  return true;
}

void VmStatus::return_to_crash() {
  const std::lock_guard<std::mutex> lock(mutex_);
  become(MachineState::kCrashed);
}

MachineState VmStatus::state() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return state_;
}

std::string VmStatus::host_failure() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return host_failure_;
}

void VmStatus::clear() {
  std::uint64_t count = 0;
  // Nothing to read is the ordinary case.
  [[maybe_unused]] const ssize_t got = read(changed_.get(), &count, sizeof(count));
}

}  // namespace mmquake
