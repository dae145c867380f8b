// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/machine/vm_root.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <system_error>

namespace mmquake {
namespace {

namespace fs = std::filesystem;
constexpr std::size_t kMaxRootLength = 60;
constexpr const char* kLockName = "owner.lock";
// Between mkdtemp and flock another process may take the directory for a dead owner's.
constexpr int kTries = 8;

bool is_same_file(int fd, const fs::path& path) {
  struct stat held {};
  struct stat named {};
  return fstat(fd, &held) == 0 && lstat(path.c_str(), &named) == 0 && held.st_ino == named.st_ino &&
         held.st_dev == named.st_dev;
}

Result<fs::path> make_directory(const fs::path& parent) {
  std::string path = (parent / (std::string(kRootPrefix) + "XXXXXX")).string();
  if (path.size() > kMaxRootLength) {
    return broken("'" + path + "' is longer than " + std::to_string(kMaxRootLength) +
                  " characters, libvirt's limit for a root");
  }
  if (mkdtemp(path.data()) == nullptr) {
    return broken("cannot make a directory in '" + parent.string() + "': " + std::strerror(errno));
  }
  return fs::path(path);
}

}  // namespace

Result<VmRoot> VmRoot::create(const std::vector<fs::path>& parents) {
  Error last{ErrorKind::kBroken, "no directory given for VM state"};
  for (const fs::path& parent : parents) {
    for (int attempt = 0; attempt < kTries; ++attempt) {
      auto path = make_directory(parent);
      if (!path) {
        last = path.error();
        break;
      }
      const fs::path name = *path / kLockName;
      FileDescriptor lock(open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
      if (lock && flock(lock.get(), LOCK_EX | LOCK_NB) == 0 && is_same_file(lock.get(), name)) {
        return VmRoot(std::move(*path), std::move(lock));
      }
    }
  }
  return tl::make_unexpected(std::move(last));
}

VmRoot::~VmRoot() {
  if (!lock_) return;       // moved from
  std::error_code ignored;  // the reaper tries again
  fs::remove_all(path_, ignored);
}

FileDescriptor lock_root(const fs::path& root) {
  const fs::path name = root / kLockName;
  FileDescriptor lock(open(name.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  if (!lock || flock(lock.get(), LOCK_EX | LOCK_NB) != 0 || !is_same_file(lock.get(), name)) {
    return {};
  }
  return lock;
}

std::vector<fs::path> find_roots(const std::vector<fs::path>& parents) {
  std::vector<fs::path> roots;
  for (const fs::path& parent : parents) {
    std::error_code error;
    for (fs::directory_iterator it(parent, error), end; !error && it != end; it.increment(error)) {
      const std::string name = it->path().filename().string();
      struct stat info {};
      if (name.rfind(kRootPrefix, 0) != 0 || lstat(it->path().c_str(), &info) != 0) continue;
      if (S_ISDIR(info.st_mode) && info.st_uid == geteuid()) roots.push_back(it->path());
    }
  }
  std::sort(roots.begin(), roots.end());
  roots.erase(std::unique(roots.begin(), roots.end()), roots.end());
  return roots;
}

}  // namespace mmquake
