// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

#include "guest/protocol/result.h"
#include "host/machine/file_descriptor.h"

namespace mmquake {

// Follows a file that QEMU writes, without polling it, also over a rotation by libvirt's log
// daemon (which the embedded libvirt does without).
class ConsoleTail {
 public:
  // Creates the file, empty.
  static Result<ConsoleTail> create(const std::filesystem::path& file);

  // The next bytes, at most `limit`. Forgets the news that fd() had.
  std::string read(std::size_t limit);

  // Readable when the file has changed since the last read().
  int fd() const { return inotify_.get(); }

 private:
  ConsoleTail(std::filesystem::path path, FileDescriptor file, FileDescriptor inotify)
      : path_(std::move(path)), file_(std::move(file)), inotify_(std::move(inotify)) {}
  bool reopen_if_rotated();

  std::filesystem::path path_;
  FileDescriptor file_;
  FileDescriptor inotify_;
};

}  // namespace mmquake
