// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/runner/evidence.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "guest/protocol/waiting_frames.h"

namespace mmquake {
namespace {

// With raw reads: a stdio buffer would be an allocation in a process whose mmap_lock may be
// what hangs.
std::string read_all(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    return "[" + path + ": " + std::strerror(errno) + "]";
  }
  std::string text;
  std::array<char, 4096> block{};
  ssize_t got = 0;
  while (text.size() < (64U << 10) && (got = read(fd, block.data(), block.size())) > 0) {
    text.append(block.data(), static_cast<std::size_t>(got));
  }
  const int error = errno;
  close(fd);
  if (got < 0 && text.empty()) {
    return "[" + path + ": " + std::strerror(error) + "]";  // some files refuse the read only
  }
  return text;
}

bool is_unreadable(std::string_view text) {
  return !text.empty() && text.front() == '[';
}

// "[<0>] do_thing.isra.0+0x12/0x34 [module]" -> "do_thing"; empty for anything else.
std::string_view function_of(std::string_view line) {
  const std::size_t bracket = line.find("] ");
  if (line.empty() || line.front() != '[' || bracket == std::string_view::npos) {
    return {};
  }
  line.remove_prefix(bracket + 2);
  const std::size_t plus = line.find('+');
  if (plus == std::string_view::npos) {
    return {};
  }
  return line.substr(0, std::min(plus, line.find('.')));
}

}  // namespace

TaskEvidence take_evidence(int pid, int tid) {
  const std::string base = "/proc/" + std::to_string(pid) + "/task/" + std::to_string(tid) + "/";
  TaskEvidence evidence;
  evidence.alive = access(base.c_str(), F_OK) == 0;
  evidence.stack = read_all(base + "stack");
  evidence.wchan = read_all(base + "wchan");
  if (evidence.wchan == "0" || is_unreadable(evidence.wchan)) {
    evidence.wchan.clear();
  }
  evidence.status = read_all(base + "status");
  evidence.syscall = read_all(base + "syscall");
  evidence.in_user = evidence.alive && blamed_function(evidence.stack, evidence.wchan).empty();
  return evidence;
}

bool is_runnable(int pid, int tid) {
  const std::string status =
      read_all("/proc/" + std::to_string(pid) + "/task/" + std::to_string(tid) + "/status");
  return status.find("\nState:\tR") != std::string::npos;
}

std::string blamed_function(std::string_view stack, std::string_view wchan) {
  std::string_view waiting;
  while (!stack.empty()) {
    const std::size_t end = std::min(stack.find('\n'), stack.size());
    const std::string_view function = function_of(stack.substr(0, end));
    stack.remove_prefix(std::min(end + 1, stack.size()));
    if (function.empty()) {
      continue;
    }
    if (!is_waiting_frame(function)) {
      return std::string(function);
    }
    waiting = waiting.empty() ? function : waiting;
  }
  // A stack of waiting functions only still names a place in the kernel.
  return std::string(wchan.empty() ? waiting : wchan);
}

}  // namespace mmquake
