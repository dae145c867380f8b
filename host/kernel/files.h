// SPDX-License-Identifier: GPL-2.0-or-later
//
// The file operations that the kernel store is made of. What replaces a file does so by a rename,
// so that a reader, or the next start after a kill, sees the old file or the new one.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include "guest/protocol/result.h"

namespace mmquake::kernel {

// Owns one file descriptor; -1 is none.
class OwnedFd {
 public:
  OwnedFd() = default;
  explicit OwnedFd(int fd) : fd_(fd) {}
  OwnedFd(OwnedFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  OwnedFd& operator=(OwnedFd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  OwnedFd(const OwnedFd&) = delete;
  OwnedFd& operator=(const OwnedFd&) = delete;
  ~OwnedFd() {
    if (fd_ >= 0) ::close(fd_);
  }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

Result<std::string> read_text(const std::filesystem::path& file);

// Replaces `file`; makes its folder.
Result<> write_text(const std::filesystem::path& file, std::string_view text);

Result<> make_folder(const std::filesystem::path& folder);

// Removes a file or a whole folder; that it is not there is fine.
Result<> remove_path(const std::filesystem::path& path);

// Moves a file or folder to a name on the same file system; makes the folder it goes to.
Result<> move_to(const std::filesystem::path& from, const std::filesystem::path& to);

// Copies a file or a symbolic link with its mode, sharing blocks where the file system can. `to`
// must not exist; makes its folder.
Result<> copy_to(const std::filesystem::path& from, const std::filesystem::path& to);

// Whether both are files of the same bytes and the same right to execute, or links to the same
// name, or both are absent.
bool same_file(const std::filesystem::path& a, const std::filesystem::path& b);

// XXH3-128 in hex of some bytes, or of a file's (of a symbolic link: its target's name).
std::string hash_of(std::string_view bytes);
Result<std::string> hash_file(const std::filesystem::path& file);

// Bytes on disk of everything below.
std::uint64_t bytes_below(const std::filesystem::path& path);

// Free for us on the disk that holds `path`, which need not exist yet.
std::uint64_t free_mib(const std::filesystem::path& path);

// Broken error that names the folder and both sizes when less than `mib` is free.
Result<> need_space(const std::filesystem::path& folder, std::uint64_t mib,
                    std::string_view what_for);

}  // namespace mmquake::kernel
