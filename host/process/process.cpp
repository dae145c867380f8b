// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/process/process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <optional>
#include <system_error>
// Boost 1.74's Asio uses std::exchange without including this.
#include <utility>
// These come after <utility>.
#include <boost/process/args.hpp>
#include <boost/process/child.hpp>
#include <boost/process/env.hpp>
#include <boost/process/exe.hpp>
#include <boost/process/extend.hpp>
#include <boost/process/group.hpp>
#include <boost/process/io.hpp>
#include <boost/process/pipe.hpp>
#include <boost/process/search_path.hpp>
#include <boost/process/start_dir.hpp>

namespace mmquake {
namespace {

namespace bp = boost::process;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kTailBytes = std::size_t{64} * 1024;
constexpr std::size_t kLineBytes = std::size_t{8} * 1024;
constexpr std::chrono::milliseconds kTick(200);
// From SIGTERM to SIGKILL when a command is stopped.
constexpr std::chrono::seconds kPatience(3);

// Runs in the child: it must not inherit what this program blocks or ignores (SIGPIPE).
struct DefaultSignals : bp::extend::handler {
  template <typename Executor>
  void on_exec_setup(Executor& /*executor*/) const {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    signal(SIGPIPE, SIG_DFL);
  }
};

// Splits what a process prints into lines and keeps the end of it.
class Output {
 public:
  explicit Output(const std::function<void(std::string_view)>& on_line) : on_line_(on_line) {}

  void take(std::string_view bytes) {
    tail_.append(bytes);
    if (tail_.size() > 2 * kTailBytes) tail_.erase(0, tail_.size() - kTailBytes);
    if (!on_line_) return;
    for (std::size_t at = 0; at < bytes.size();) {
      const std::size_t end = std::min(bytes.find('\n', at), bytes.size());
      const std::size_t room = kLineBytes - line_.size();
      line_.append(bytes.substr(at, std::min(end - at, room)));
      if (end < bytes.size()) flush();
      at = end + 1;
    }
  }

  std::string finish() {
    if (!line_.empty()) flush();
    if (tail_.size() > kTailBytes) tail_.erase(0, tail_.size() - kTailBytes);
    return std::move(tail_);
  }

 private:
  void flush() {
    on_line_(line_);
    line_.clear();
  }

  const std::function<void(std::string_view)>& on_line_;
  std::string line_;
  std::string tail_;
};

// Boost's child::running() reaps by itself and maps a signal to its bare number; waitpid keeps the
// difference between "exit 9" and "killed by signal 9".
std::optional<int> reap(pid_t pid, int flags) {
  int status = 0;
  pid_t got = 0;
  do {
    got = waitpid(pid, &status, flags);
  } while (got < 0 && errno == EINTR);
  if (got == 0) return std::nullopt;
  if (got < 0) return 127;
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

// True when no process of the group is left.
bool group_is_gone(pid_t group) {
  return kill(-group, 0) != 0 && errno == ESRCH;
}

void end_group(pid_t group) {
  kill(-group, SIGTERM);
  const auto deadline = Clock::now() + kPatience;
  while (Clock::now() < deadline) {
    reap(group, WNOHANG);
    if (group_is_gone(group)) return;
    poll(nullptr, 0, 10);
  }
  kill(-group, SIGKILL);
  reap(group, 0);
}

// Reads until the process has ended and its output is drained. nullopt: it was stopped.
std::optional<int> follow(pid_t pid, int fd, Output& output,
                          const std::function<bool()>& should_stop) {
  std::array<char, 16384> block{};
  std::optional<int> code;
  bool open = true;
  while (open || !code) {
    pollfd ready{open ? fd : -1, POLLIN, 0};
    const int events = poll(&ready, 1, static_cast<int>(open ? kTick.count() : 20));
    if (events > 0) {
      const ssize_t got = read(fd, block.data(), block.size());
      if (got > 0) output.take({block.data(), static_cast<std::size_t>(got)});
      if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN)) open = false;
    }
    if (should_stop && should_stop()) return std::nullopt;
    if (!code) code = reap(pid, WNOHANG);
    // A grandchild in the background may hold the pipe open for ever.
    if (code && events == 0) open = false;
  }
  return code;
}

}  // namespace

Result<Finished> run_command(const Command& command,
                             const std::function<void(std::string_view)>& on_line,
                             const std::function<bool()>& should_stop) {
  if (command.argv.empty()) return broken("run a command: no program given");
  const std::string& name = command.argv[0];
  const std::string program =
      name.find('/') == std::string::npos ? bp::search_path(name).string() : name;
  if (program.empty()) return broken("'" + name + "' is not installed (not found in PATH)");
  bp::environment environment = boost::this_process::environment();
  // Not environment[key]: Boost 1.74's look-up reads beyond the end of shorter entries.
  for (const auto& [key, value] : command.environment) environment.set(key, value);
  const std::vector<std::string> args(command.argv.begin() + 1, command.argv.end());
  const std::string directory = command.directory.empty() ? "." : command.directory.string();
  std::error_code error;
  bp::pipe pipe;
  fcntl(pipe.native_source(), F_SETFD, FD_CLOEXEC);
  fcntl(pipe.native_sink(), F_SETFD, FD_CLOEXEC);
  bp::group group;
  bp::child child(bp::exe = program, bp::args = args, bp::start_dir = directory, environment,
                  (bp::std_out & bp::std_err) > pipe, bp::std_in < bp::null, group,
                  DefaultSignals(), error);
  if (error) return broken("start '" + name + "' in '" + directory + "': " + error.message());
  close(pipe.native_sink());
  pipe.assign_sink(-1);
  const pid_t pid = child.id();
  // Ours to reap: see reap().
  child.detach();
  group.detach();
  Output output(on_line);
  const std::optional<int> code = follow(pid, pipe.native_source(), output, should_stop);
  if (!code) {
    end_group(pid);
    return broken("'" + name + "' was interrupted");
  }
  return Finished{*code, output.finish()};
}

}  // namespace mmquake
