// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <chrono>
#include <condition_variable>
#include <csignal>
#include <mutex>
#include <string>

#include "host/machine/file_descriptor.h"
#include "host/machine/machine.h"

namespace mmquake {

// What is known of one VM's life. libvirt's events and QEMU's exit come from the event loop's
// thread, in any order; Machine::wait asks from another. kOff and kHostFailed are final.
class VmStatus {
 public:
  VmStatus();

  // A lifecycle event of libvirt (virDomainEventType and its detail).
  void on_lifecycle(int event, int detail);
  // QEMU has ended: what waitid() says of it.
  void on_exit(const siginfo_t& info);
  // A host reason ended it, or hides it from us.
  void fail(const std::string& reason);
  // From now on an end of QEMU is what we asked for.
  void expect_end();
  // Whether on_exit() came, now or within `patience`.
  bool has_exited(std::chrono::milliseconds patience) const;
  // kCrashed to kRunning; false if it was not kCrashed.
  bool leave_crash();
  // Takes leave_crash() back: the guest could not be resumed.
  void return_to_crash();

  MachineState state() const;
  std::string host_failure() const;
  // An eventfd, readable when the state has changed since the last clear().
  int fd() const { return changed_.get(); }
  void clear();

 private:
  void become(MachineState state);                // with mutex_ held
  void become_failed(const std::string& reason);  // with mutex_ held

  mutable std::mutex mutex_;
  mutable std::condition_variable exit_news_;
  bool exited_ = false;
  MachineState state_ = MachineState::kRunning;
  std::string host_failure_;
  bool end_expected_ = false;
  bool ended_by_host_signal_ = false;
  FileDescriptor changed_;
};

}  // namespace mmquake
