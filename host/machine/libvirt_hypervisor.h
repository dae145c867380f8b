// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <memory>
#include <string>

#include "host/machine/machine.h"

namespace mmquake {

inline constexpr const char* kEmbeddedUri = "qemu:///embed";

// What mends an embedded libvirt that root cannot open.
inline constexpr const char* kMakeLibvirtUser =
    "useradd --system --user-group --no-create-home --home-dir /var/lib/libvirt "
    "--shell /usr/sbin/nologin libvirt-qemu";

// VMs through libvirt. While it lives, and however the process ends, no VM of it outlives the
// process by more than 5 s (reaper.h).
class LibvirtHypervisor final : public Hypervisor {
 public:
  // `uri`: "qemu:///embed" runs libvirt inside this process, in a private root that is made for
  // it and removed at the end; any other libvirt URI, "qemu:///embed?root=DIR" included, is
  // taken as it is. One embedded libvirt a process at a time.
  static Result<std::unique_ptr<LibvirtHypervisor>> open(const std::string& uri = kEmbeddedUri);
  ~LibvirtHypervisor() override;
  LibvirtHypervisor(const LibvirtHypervisor&) = delete;
  LibvirtHypervisor& operator=(const LibvirtHypervisor&) = delete;

  Result<std::unique_ptr<Machine>> start(const BootRequest& request) override;
  std::string version() const override;

 private:
  class Connection;
  explicit LibvirtHypervisor(std::shared_ptr<Connection> connection);
  std::shared_ptr<Connection> connection_;
};

}  // namespace mmquake
