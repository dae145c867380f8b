// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/program/program.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "guest/program/task_tree.h"

namespace mmquake {
namespace {

std::vector<char*> pointers_to(const std::vector<std::string>& words) {
  std::vector<char*> out;
  out.reserve(words.size() + 1);
  for (const std::string& word : words) {
    out.push_back(const_cast<char*>(word.c_str()));  // posix_spawn(3) writes to none of them
  }
  out.push_back(nullptr);
  return out;
}

std::vector<std::string> environment(const std::vector<std::string>& more) {
  std::vector<std::string> out;
  for (char** one = environ; one != nullptr && *one != nullptr; ++one) {
    out.emplace_back(*one);
  }
  out.insert(out.end(), more.begin(), more.end());
  return out;
}

int spawn(pid_t* pid, const std::vector<std::string>& argv, const std::vector<std::string>& env,
          const std::string& directory, int output) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO);
  if (!directory.empty()) {
    posix_spawn_file_actions_addchdir_np(&actions, directory.c_str());
  }
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
  const int error = posix_spawn(pid, argv[0].c_str(), &actions, &attributes,
                                pointers_to(argv).data(), pointers_to(env).data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  return error;
}

}  // namespace

Result<Program> Program::start(const std::vector<std::string>& argv,
                               const std::vector<std::string>& env, const std::string& directory) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) != 0) {
    return broken(std::string("pipe2: ") + std::strerror(errno));
  }
  // The program's own end blocks, as it expects of its output.
  fcntl(ends[1], F_SETFL, 0);
  pid_t pid = -1;
  const int error = spawn(&pid, argv, environment(env), directory, ends[1]);
  close(ends[1]);
  if (error != 0) {
    close(ends[0]);
    return broken(fmt::format("start '{}': {}", argv[0], std::strerror(error)));
  }
  return Program(pid, ends[0]);
}

Program::Program(Program&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      output_fd_(std::exchange(other.output_fd_, -1)),
      status_(other.status_),
      output_(std::move(other.output_)),
      reader_(std::move(other.reader_)) {}

Program::~Program() {
  if (pid_ > 0) {
    kill_all();
  }
  if (output_fd_ >= 0) {
    close(output_fd_);
  }
}

void Program::poll(std::chrono::milliseconds wait) {
  pollfd ready{output_fd_, POLLIN, 0};  // a negative one is ignored
  ::poll(&ready, 1, static_cast<int>(wait.count()));
  std::array<char, 4096> block{};
  ssize_t got = 0;
  // Who prints without end gets no more than its share of this call.
  for (int i = 0; i < 64 && output_fd_ >= 0; ++i) {
    got = read(output_fd_, block.data(), block.size());
    if (got <= 0) {
      break;
    }
    const std::string_view text(block.data(), static_cast<std::size_t>(got));
    output_.append(text);
    if (reader_) {
      reader_(text);
    }
  }
  if (got == 0 && output_fd_ >= 0) {
    close(output_fd_);
    output_fd_ = -1;
  }
  if (output_.size() > kKeptOutput) {
    output_.erase(0, output_.size() - kKeptOutput);
  }
  reap();
}

void Program::reap() {
  int status = 0;
  pid_t ended = 0;
  while ((ended = waitpid(-1, &status, WNOHANG)) > 0) {
    if (ended == pid_) {
      status_ = status;
    }
  }
}

void Program::kill_all() {
  for (const int pid : descendants_of(getpid())) {
    kill(pid, SIGKILL);
  }
}

std::string describe_status(int status) {
  if (WIFSIGNALED(status)) {
    const char* name = sigabbrev_np(WTERMSIG(status));
    return name != nullptr ? fmt::format("was killed by SIG{}", name)
                           : fmt::format("was killed by signal {}", WTERMSIG(status));
  }
  return fmt::format("exited with {}", WEXITSTATUS(status));
}

}  // namespace mmquake
