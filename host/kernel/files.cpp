// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/kernel/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <xxhash.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <system_error>
#include <vector>

namespace mmquake::kernel {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kBlock = 256UL * 1024;

tl::unexpected<Error> failed(std::string_view doing, const fs::path& path, int error) {
  return broken(fmt::format("{} '{}': {}", doing, path.string(), std::strerror(error)));
}

tl::unexpected<Error> failed(std::string_view doing, const fs::path& path,
                             const std::error_code& error) {
  return broken(fmt::format("{} '{}': {}", doing, path.string(), error.message()));
}

OwnedFd open_file(const fs::path& path, int flags, mode_t mode = 0) {
  return OwnedFd(open(path.c_str(), flags | O_CLOEXEC, mode));
}

// Up to a full block; fewer bytes only at the end. Negative: an error.
ssize_t read_block(int fd, char* block, std::size_t size) {
  std::size_t have = 0;
  while (have < size) {
    const ssize_t got = read(fd, block + have, size - have);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return -1;
    if (got == 0) break;
    have += static_cast<std::size_t>(got);
  }
  return static_cast<ssize_t>(have);
}

int write_whole(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t put = write(fd, bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return errno;
    bytes.remove_prefix(static_cast<std::size_t>(put));
  }
  return 0;
}

bool same_bytes(const fs::path& a, const fs::path& b) {
  const OwnedFd left = open_file(a, O_RDONLY);
  const OwnedFd right = open_file(b, O_RDONLY);
  if (!left || !right) return false;
  std::vector<char> one(kBlock);
  std::vector<char> two(kBlock);
  while (true) {
    const ssize_t got = read_block(left.get(), one.data(), one.size());
    if (got < 0 || got != read_block(right.get(), two.data(), two.size())) return false;
    if (got == 0) return true;
    if (std::memcmp(one.data(), two.data(), static_cast<std::size_t>(got)) != 0) return false;
  }
}

std::string to_hex(const XXH128_hash_t& hash) {
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

// 0, or the errno of what failed.
int copy_bytes(int from, int to, off_t size) {
  if (ioctl(to, FICLONE, from) == 0) return 0;
  off_t at = 0;
  while (at < size) {
    const ssize_t put = sendfile(to, from, &at, static_cast<std::size_t>(size - at));
    if (put < 0 && errno != EINTR) return errno;
    if (put == 0) break;  // it shrank under us; whoever cares compares hashes
  }
  return 0;
}

}  // namespace

Result<std::string> read_text(const fs::path& file) {
  const OwnedFd fd = open_file(file, O_RDONLY);
  if (!fd) return failed("read", file, errno);
  std::string text;
  std::vector<char> block(kBlock);
  while (true) {
    const ssize_t got = read_block(fd.get(), block.data(), block.size());
    if (got < 0) return failed("read", file, errno);
    if (got == 0) return text;
    text.append(block.data(), static_cast<std::size_t>(got));
  }
}

Result<> make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) return failed("make the folder", folder, error);
  return {};
}

Result<> write_text(const fs::path& file, std::string_view text) {
  if (auto made = make_folder(file.parent_path()); !made) return made;
  // The process and the thread may both have namesakes at work on the same file.
  const fs::path next = fmt::format("{}.new-{}-{}", file.string(), getpid(), gettid());
  const OwnedFd fd = open_file(next, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (!fd) return failed("write", next, errno);
  if (const int error = write_whole(fd.get(), text); error != 0) {
    unlink(next.c_str());
    return failed("write", file, error);
  }
  return move_to(next, file);
}

Result<> remove_path(const fs::path& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) return failed("remove", path, error);
  return {};
}

Result<> move_to(const fs::path& from, const fs::path& to) {
  if (rename(from.c_str(), to.c_str()) == 0) return {};
  if (errno == ENOENT) {
    if (auto made = make_folder(to.parent_path()); !made) return made;
    if (rename(from.c_str(), to.c_str()) == 0) return {};
  }
  return failed(fmt::format("move '{}' to", from.string()), to, errno);
}

Result<> copy_to(const fs::path& from, const fs::path& to) {
  struct stat info {};
  if (lstat(from.c_str(), &info) != 0) return failed("read", from, errno);
  if (auto made = make_folder(to.parent_path()); !made) return made;
  if (S_ISLNK(info.st_mode)) {
    std::error_code error;
    fs::copy_symlink(from, to, error);
    if (error) return failed("copy the link", from, error);
    return {};
  }
  const OwnedFd in = open_file(from, O_RDONLY);
  if (!in) return failed("read", from, errno);
  const mode_t mode = (info.st_mode & S_IXUSR) != 0 ? 0755 : 0644;
  const OwnedFd out = open_file(to, O_WRONLY | O_CREAT | O_EXCL, mode);
  if (!out) return failed("write", to, errno);
  if (const int error = copy_bytes(in.get(), out.get(), info.st_size); error != 0) {
    return failed(fmt::format("copy '{}' to", from.string()), to, error);
  }
  return {};
}

bool same_file(const fs::path& a, const fs::path& b) {
  struct stat left {};
  struct stat right {};
  const bool has_left = lstat(a.c_str(), &left) == 0;
  const bool has_right = lstat(b.c_str(), &right) == 0;
  if (!has_left || !has_right) return has_left == has_right;
  if ((left.st_mode & S_IFMT) != (right.st_mode & S_IFMT)) return false;
  std::error_code error;
  if (S_ISLNK(left.st_mode)) return fs::read_symlink(a, error) == fs::read_symlink(b, error);
  return S_ISREG(left.st_mode) && left.st_size == right.st_size &&
         (left.st_mode & S_IXUSR) == (right.st_mode & S_IXUSR) && same_bytes(a, b);
}

std::string hash_of(std::string_view bytes) {
  return to_hex(XXH3_128bits(bytes.data(), bytes.size()));
}

Result<std::string> hash_file(const fs::path& file) {
  std::error_code error;
  if (fs::is_symlink(file, error)) return hash_of(fs::read_symlink(file, error).string());
  const OwnedFd fd = open_file(file, O_RDONLY);
  if (!fd) return failed("read", file, errno);
  const std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state(XXH3_createState(),
                                                                              XXH3_freeState);
  if (!state) return broken("out of memory");
  XXH3_128bits_reset(state.get());
  thread_local std::vector<char> block(kBlock);
  while (true) {
    const ssize_t got = read_block(fd.get(), block.data(), block.size());
    if (got < 0) return failed("read", file, errno);
    if (got == 0) return to_hex(XXH3_128bits_digest(state.get()));
    XXH3_128bits_update(state.get(), block.data(), static_cast<std::size_t>(got));
  }
}

std::uint64_t bytes_below(const fs::path& path) {
  std::uint64_t bytes = 0;
  const auto add = [&](const fs::path& one) {
    struct stat info {};
    if (lstat(one.c_str(), &info) == 0) bytes += static_cast<std::uint64_t>(info.st_blocks) * 512;
  };
  add(path);
  std::error_code error;
  for (fs::recursive_directory_iterator at(path, error), end; !error && at != end;
       at.increment(error)) {
    add(at->path());
  }
  return bytes;
}

std::uint64_t free_mib(const fs::path& path) {
  fs::path existing = path;
  std::error_code error;
  while (!fs::exists(existing, error) && existing.has_relative_path()) {
    existing = existing.parent_path();
  }
  struct statvfs info {};
  if (statvfs(existing.c_str(), &info) != 0) return 0;
  return static_cast<std::uint64_t>(info.f_bavail) * info.f_frsize >> 20;
}

Result<> need_space(const fs::path& folder, std::uint64_t mib, std::string_view what_for) {
  const std::uint64_t have = free_mib(folder);
  if (have >= mib) return {};
  return broken(
      fmt::format("{} needs {} MiB in {}, which has {} MiB free; free some (mmquake kernel gc), "
                  "or set XDG_CACHE_HOME to a folder on a larger disk",
                  what_for, mib, folder.string(), have));
}

}  // namespace mmquake::kernel
