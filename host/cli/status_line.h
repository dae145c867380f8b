// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <string>
#include <thread>

namespace mmquake {

// Whether `file` is a terminal that may have colours (NO_COLOR is unset or empty, TERM is not
// "dumb").
bool wants_colour(std::FILE* file);

// One line that says what is going on. On a terminal it is redrawn in place; elsewhere whole
// lines are printed, one every few seconds at most, so that a log never drowns. A thread keeps it
// talking, with the time since the last news, while its owner is busy or waits.
class StatusLine {
 public:
  // The longest silence, and the shortest time between two lines of a log.
  static constexpr std::chrono::milliseconds kQuiet{4000};

  explicit StatusLine(std::FILE* file, std::chrono::milliseconds quiet = kQuiet);
  // Clears.
  ~StatusLine();
  StatusLine(const StatusLine&) = delete;
  StatusLine& operator=(const StatusLine&) = delete;

  // `text` is one line; what is more than the terminal's width is not shown.
  void show(const std::string& text);
  // Ends what was shown, and takes it off a terminal: before something lasting is printed.
  void clear();

 private:
  using Clock = std::chrono::steady_clock;
  void keep_talking();
  void print(const std::string& text);  // with mutex_ held
  // How long after the last print the next one may come unasked.
  std::chrono::milliseconds pause() const;

  std::FILE* file_;
  bool terminal_;
  std::chrono::milliseconds quiet_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool shown_ = false;
  bool over_ = false;
  std::string text_;
  Clock::time_point news_;     // when text_ came
  Clock::time_point printed_;  // when anything was printed last
  std::thread talker_;
};

}  // namespace mmquake
