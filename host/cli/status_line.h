// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <chrono>
#include <cstdio>
#include <string>

namespace mmquake {

// Whether `file` is a terminal that may have colours (NO_COLOR is unset, TERM is not "dumb").
bool wants_colour(std::FILE* file);

// One line that says what is going on. On a terminal it is redrawn in place; elsewhere a line is
// printed at most every 4 s, so that a log never falls silent and never drowns.
class StatusLine {
 public:
  explicit StatusLine(std::FILE* file);
  ~StatusLine() { clear(); }
  StatusLine(const StatusLine&) = delete;
  StatusLine& operator=(const StatusLine&) = delete;

  void show(const std::string& text);
  void clear();  // takes the line off a terminal, before something lasting is printed

 private:
  std::FILE* file_;
  bool terminal_;
  bool shown_ = false;
  std::chrono::steady_clock::time_point last_;
};

}  // namespace mmquake
