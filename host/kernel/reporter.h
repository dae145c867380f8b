// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "guest/protocol/result.h"
#include "host/kernel/kernel_store.h"
#include "host/process/process.h"

namespace mmquake::kernel {

// What a long action talks to while it lasts: it passes progress on, repeats it when nothing new
// comes, and knows whether the action shall stop. For one thread.
class Reporter {
 public:
  Reporter(const ProgressSink& sink, const std::function<bool()>& should_stop)
      : sink_(sink), should_stop_(should_stop) {}

  // A new step: said at once.
  void stage(std::string stage, std::string detail = "", double fraction = -1);
  // News within a step: said with the next tick.
  void update(std::string detail, double fraction = -1);
  // To be called often (every 200 ms, or every some hundred files): repeats what is going on when
  // it is time to, and says whether to stop.
  bool tick();

  // Puts a variable into the environment of every command that run() starts from now on.
  void mark(const std::string& name, const std::string& value) { marks_[name] = value; }

  // run_command in the C locale, ticking all the while. Error when it was stopped or could not
  // start.
  Result<Finished> run(Command command, const std::function<void(std::string_view)>& on_line = {});
  // What the command printed; an exit code other than 0 is an error too, with its last line.
  Result<std::string> output_of(std::string_view name, Command command);
  // Removes a file or a folder of any size; that it is not there is fine.
  Result<> remove(const std::filesystem::path& path);

 private:
  const ProgressSink& sink_;
  const std::function<bool()>& should_stop_;
  Progress now_{"prepare", "", -1};
  std::map<std::string, std::string> marks_;
  std::chrono::steady_clock::time_point said_;
};

inline tl::unexpected<Error> interrupted_error() {
  return broken("interrupted");
}

// The last line of `text` that is not empty.
std::string last_line(std::string_view text);

}  // namespace mmquake::kernel
