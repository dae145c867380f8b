// SPDX-License-Identifier: GPL-2.0-or-later
//
// For the tests that run the program: which VMs it has, and how long to look.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

namespace mmquake {

// PIDs of QEMU processes that hold a file of this run's output folder open.
inline std::vector<pid_t> qemus_of(const std::filesystem::path& folder) {
  std::vector<pid_t> out;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    std::ifstream file(entry.path() / "comm");
    std::string comm;
    std::getline(file, comm);
    if (!comm.starts_with("qemu-system")) continue;
    std::error_code gone;  // the process may end while we look
    for (const auto& fd : std::filesystem::directory_iterator(entry.path() / "fd", gone)) {
      const std::filesystem::path target = std::filesystem::read_symlink(fd.path(), gone);
      if (target.string().starts_with(folder.string())) {
        out.push_back(static_cast<pid_t>(std::stol(name)));
        break;
      }
    }
  }
  return out;
}

template <typename Predicate>
bool within(std::chrono::seconds limit, Predicate done) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!done()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  return true;
}

}  // namespace mmquake
