// SPDX-License-Identifier: GPL-2.0-or-later
//
// One run of a program that this project knows nothing of.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "guest/protocol/result.h"

namespace mmquake {

class Program {
 public:
  static constexpr std::size_t kKeptOutput = 16 << 10;  // bytes, the last ones

  // Starts it in a session of its own, stdin empty, with `env` ("NAME=value") beside what is there,
  // in `directory` if one is given: argv[0] is looked for from there.
  // The caller is a child subreaper, and has no other children that it waits for.
  static Result<Program> start(const std::vector<std::string>& argv,
                               const std::vector<std::string>& env,
                               const std::string& directory = "");
  Program(Program&& other) noexcept;
  Program& operator=(Program&&) = delete;
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  // Kills what is left, and does not wait for it.
  ~Program();

  // Reads what it prints for at most so long, and reaps who has ended.
  void poll(std::chrono::milliseconds wait);
  // As of waitpid(2); nullopt: it has not ended.
  std::optional<int> status() const { return status_; }
  // SIGKILL to all that descend from the caller.
  static void kill_all();
  const std::string& output() const { return output_; }
  // Gets all that is read from now on, as it comes.
  void on_output(std::function<void(std::string_view)> reader) { reader_ = std::move(reader); }

 private:
  Program(pid_t pid, int output_fd) : pid_(pid), output_fd_(output_fd) {}
  void reap();

  pid_t pid_;
  int output_fd_;  // -1: it has been closed at the other end
  std::optional<int> status_;
  std::string output_;
  std::function<void(std::string_view)> reader_;
};

// "exited with 3", "was killed by SIGSEGV".
std::string describe_status(int status);

}  // namespace mmquake
