// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/plan/directories.h"

#include <pwd.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <system_error>

#include "host/plan/plan.h"

namespace mmquake {
namespace fs = std::filesystem;
namespace {

// The variable's value if it is an absolute path: the XDG specification wants others ignored.
fs::path absolute_from(const char* variable) {
  const char* value = std::getenv(variable);
  if (value == nullptr || value[0] != '/') return {};
  return value;
}

fs::path home() {
  fs::path from_environment = absolute_from("HOME");
  if (!from_environment.empty()) return from_environment;
  // A service, or a container: the account says where, if there is one.
  passwd account{};
  passwd* found = nullptr;
  std::array<char, 4096> buffer{};
  getpwuid_r(getuid(), &account, buffer.data(), buffer.size(), &found);
  if (found != nullptr && found->pw_dir != nullptr && found->pw_dir[0] == '/') return found->pw_dir;
  return "/tmp/mmquake-" + std::to_string(getuid());
}

fs::path xdg(const char* variable, const char* below_home) {
  const fs::path set = absolute_from(variable);
  return (set.empty() ? home() / below_home : set) / "mmquake";
}

bool holds_configs(const fs::path& dir) {
  std::error_code error;
  return fs::is_directory(dir / "configs", error);
}

}  // namespace

fs::path cache_dir() {
  return xdg("XDG_CACHE_HOME", ".cache");
}

fs::path state_dir() {
  return xdg("XDG_STATE_HOME", ".local/state");
}

fs::path runtime_dir() {
  const fs::path set = absolute_from("XDG_RUNTIME_DIR");
  std::error_code error;
  return !set.empty() && fs::is_directory(set, error) ? set : fs::path("/tmp");
}

fs::path data_dir() {
  const char* chosen = std::getenv("MMQUAKE_DATA");
  std::error_code error;
  if (chosen != nullptr && chosen[0] != '\0') return fs::absolute(chosen, error);
  // An installed program keeps to what was installed with it, even where its source still lies.
  const fs::path beside = fs::read_symlink("/proc/self/exe", error).parent_path();
  for (const fs::path& dir : {beside / "share/mmquake", beside.parent_path() / "share/mmquake"}) {
    if (holds_configs(dir)) return dir;
  }
  return MMQUAKE_SOURCE_DIR;
}

}  // namespace mmquake
