// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/machine/qemu_process.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>

#include "host/machine/file_descriptor.h"

namespace mmquake {
namespace {

// Not a stream: reading of a process that has just ended fails with ESRCH, for which libstdc++'s
// file buffers throw.
std::string command_line(pid_t pid) {
  const std::string path = "/proc/" + std::to_string(pid) + "/cmdline";
  const FileDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::string line;
  std::array<char, 4096> chunk{};
  ssize_t got = 0;
  while (file && (got = read(file.get(), chunk.data(), chunk.size())) > 0) {
    line.append(chunk.data(), static_cast<std::size_t>(got));
  }
  return line;
}

}  // namespace

// NULs separate the arguments.
bool is_qemu_of(pid_t pid, const std::string& part) {
  const std::string line = command_line(pid);
  const std::string program =
      std::filesystem::path(line.substr(0, line.find('\0'))).filename().string();
  return program.rfind("qemu-", 0) == 0 && line.find(part) != std::string::npos;
}

std::vector<pid_t> find_qemus(const std::string& part) {
  std::vector<pid_t> out;
  DIR* proc = opendir("/proc");
  if (proc == nullptr) return out;
  while (const dirent* entry = readdir(proc)) {
    char* end = nullptr;
    const long pid = std::strtol(entry->d_name, &end, 10);
    if (*end == '\0' && pid > 1 && is_qemu_of(static_cast<pid_t>(pid), part)) {
      out.push_back(static_cast<pid_t>(pid));
    }
  }
  closedir(proc);
  return out;
}

}  // namespace mmquake
