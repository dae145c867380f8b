// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/program/task_tree.h"

#include <dirent.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>

#include "guest/memory/text_file.h"

namespace mmquake {
namespace {

// What may last for ever, and for a good reason. Interruptible, all of them: a task in state D
// waits for the kernel, whatever it has called.
constexpr auto kWaits = std::to_array<long>({
    SYS_read,
    SYS_readv,
    SYS_write,
    SYS_writev,
    SYS_poll,
    SYS_ppoll,
    SYS_select,
    SYS_pselect6,
    SYS_epoll_wait,
    SYS_epoll_pwait,
    SYS_nanosleep,
    SYS_clock_nanosleep,
    SYS_futex,
    SYS_pause,
    SYS_rt_sigsuspend,
    SYS_rt_sigtimedwait,
    SYS_wait4,
    SYS_waitid,
    SYS_accept,
    SYS_accept4,
    SYS_connect,
    SYS_recvfrom,
    SYS_recvmsg,
    SYS_recvmmsg,
    SYS_sendto,
    SYS_sendmsg,
    SYS_sendmmsg,
    SYS_msgrcv,
    SYS_msgsnd,
    SYS_semop,
    SYS_semtimedop,
    SYS_flock,
    SYS_fcntl,
    SYS_io_getevents,
    SYS_io_pgetevents,
    SYS_io_uring_enter,
    SYS_mq_timedsend,
    SYS_open,
    SYS_openat,
    SYS_restart_syscall,
    SYS_mq_timedreceive,
    449 /* futex_waitv */,
});

struct CloseDir {
  void operator()(DIR* dir) const { closedir(dir); }
};

std::vector<int> numbers_in(const std::string& path) {
  std::vector<int> out;
  const std::unique_ptr<DIR, CloseDir> dir(opendir(path.c_str()));
  if (!dir) {
    return out;
  }
  while (const dirent* entry = readdir(dir.get())) {
    if (const auto number = to_number(entry->d_name)) {
      out.push_back(static_cast<int>(*number));
    }
  }
  return out;
}

std::optional<Task> task_of(int pid, int tid) {
  const std::string base = "/proc/" + std::to_string(pid) + "/task/" + std::to_string(tid) + "/";
  const Result<std::string> stat = read_text(base + "stat");
  const Result<std::string> status = read_text(base + "status");
  const Result<std::string> syscall = read_text(base + "syscall");
  if (!stat || !status) {
    return std::nullopt;
  }
  Task task{pid, tid, '?', 0, syscall ? *syscall : ""};
  const std::size_t name_end = stat->rfind(')');
  if (name_end != std::string::npos && name_end + 2 < stat->size()) {
    task.state = (*stat)[name_end + 2];
  }
  task.switches = number_of_field(*status, "voluntary_ctxt_switches:").value_or(0) +
                  number_of_field(*status, "nonvoluntary_ctxt_switches:").value_or(0);
  return task;
}

}  // namespace

std::optional<int> parent_in(std::string_view stat) {
  // The name, in parentheses, may hold blanks and parentheses.
  const std::size_t name_end = stat.rfind(')');
  if (name_end == std::string_view::npos) {
    return std::nullopt;
  }
  std::string_view rest = stat.substr(name_end + 1);
  next_word(rest);  // the state
  const auto parent = to_number(next_word(rest));
  return parent ? std::optional<int>(static_cast<int>(*parent)) : std::nullopt;
}

std::vector<int> descendants_of(int pid) {
  std::map<int, std::vector<int>> children;
  for (const int one : numbers_in("/proc")) {
    const Result<std::string> stat = read_text("/proc/" + std::to_string(one) + "/stat");
    const std::optional<int> parent = stat ? parent_in(*stat) : std::nullopt;
    if (parent) {
      children[*parent].push_back(one);
    }
  }
  std::vector<int> out = children[pid];
  for (std::size_t i = 0; i < out.size(); ++i) {
    const auto next = children.find(out[i]);
    if (next != children.end()) {
      out.insert(out.end(), next->second.begin(), next->second.end());
    }
  }
  return out;
}

std::vector<Task> tasks_of(const std::vector<int>& pids) {
  std::vector<Task> out;
  for (const int pid : pids) {
    for (const int tid : numbers_in("/proc/" + std::to_string(pid) + "/task")) {
      if (std::optional<Task> task = task_of(pid, tid)) {
        out.push_back(std::move(*task));
      }
    }
  }
  return out;
}

bool waits_by_design(const Task& task) {
  if (task.state == 'D') {
    return false;
  }
  if (task.state != 'S') {
    return true;
  }
  std::string_view rest = task.syscall;
  const std::string_view word = next_word(rest);
  const auto number = to_number(word);
  if (!number) {
    return word != "-1";  // "running", or it could not be read
  }
  return std::find(kWaits.begin(), kWaits.end(), static_cast<long>(*number)) != kWaits.end();
}

}  // namespace mmquake
