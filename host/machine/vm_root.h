// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <filesystem>
#include <vector>

#include "guest/protocol/result.h"
#include "host/machine/file_descriptor.h"

namespace mmquake {

// The names of all roots start so. The project's name is not in it: what kills processes by that
// name (pkill -f) must leave the reaper alone, whose arguments hold the root's path.
inline constexpr const char* kRootPrefix = "numavm-";

// A short private directory (0700) of one process: libvirt's embedded root and the VMs' sockets.
// Its path stands in the arguments of every QEMU that the process starts, so that each can be
// found. Locked while the process lives; removed by the destructor.
class VmRoot {
 public:
  // Tries the directories in order; a path is at most 60 characters (libvirt's sockets).
  static Result<VmRoot> create(const std::vector<std::filesystem::path>& parents);
  VmRoot(VmRoot&&) = default;
  VmRoot& operator=(VmRoot&&) = delete;
  VmRoot(const VmRoot&) = delete;
  VmRoot& operator=(const VmRoot&) = delete;
  ~VmRoot();

  const std::filesystem::path& path() const { return path_; }

 private:
  VmRoot(std::filesystem::path path, FileDescriptor lock)
      : path_(std::move(path)), lock_(std::move(lock)) {}
  std::filesystem::path path_;
  FileDescriptor lock_;
};

// Locks the root of an owner that has ended. Not open: the owner lives, or it is no root.
FileDescriptor lock_root(const std::filesystem::path& root);

// Roots under `parents` that are ours by user id, locked or not.
std::vector<std::filesystem::path> find_roots(const std::vector<std::filesystem::path>& parents);

}  // namespace mmquake
