// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/machine/vcpu_threads.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <map>
#include <sstream>
#include <string_view>
#include <system_error>

#include "host/machine/file_descriptor.h"

namespace mmquake {
namespace {

namespace fs = std::filesystem;
constexpr std::string_view kName = "CPU ";

// Not a stream: a thread that has just ended gives ESRCH, for which libstdc++'s file buffers throw.
// The files are shorter than this.
std::string text_of(const fs::path& path) {
  const FileDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::array<char, 1024> text{};
  const ssize_t got = file ? read(file.get(), text.data(), text.size()) : -1;
  return {text.data(), static_cast<std::size_t>(got > 0 ? got : 0)};
}

}  // namespace

std::optional<VcpuTime> parse_vcpu_time(const std::string& schedstat, const std::string& stat) {
  double ran_ns = 0;
  double waited_ns = 0;
  if (!(std::istringstream(schedstat) >> ran_ns >> waited_ns)) return std::nullopt;
  // "TID (NAME) STATE ...": the name may hold anything.
  const std::size_t name_end = stat.rfind(") ");
  if (name_end == std::string::npos || name_end + 2 >= stat.size()) return std::nullopt;
  const char state = stat[name_end + 2];
  return VcpuTime{ran_ns / 1e9, waited_ns / 1e9,
                  state == 'R'                   ? VcpuState::kRunnable
                  : state == 'D' || state == 'T' ? VcpuState::kHeld
                                                 : VcpuState::kIdle};
}

VcpuThreads::VcpuThreads(pid_t qemu, const fs::path& proc) {
  std::map<int, fs::path> by_number;
  std::error_code error;
  const fs::path tasks = proc / std::to_string(qemu) / "task";
  for (fs::directory_iterator it(tasks, error), end; !error && it != end; it.increment(error)) {
    const std::string name = text_of(it->path() / "comm");
    if (name.rfind(kName, 0) != 0) continue;
    int number = -1;
    std::from_chars(name.data() + kName.size(), name.data() + name.size(), number);
    if (number >= 0) by_number[number] = it->path();
  }
  for (auto& [number, path] : by_number) threads_.push_back(std::move(path));
}

std::vector<VcpuTime> VcpuThreads::read() const {
  std::vector<VcpuTime> out;
  for (const fs::path& thread : threads_) {
    auto time = parse_vcpu_time(text_of(thread / "schedstat"), text_of(thread / "stat"));
    if (!time) return {};
    out.push_back(*time);
  }
  return out;
}

}  // namespace mmquake
