// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/cli/status_line.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "host/console/console.h"

namespace mmquake {
namespace {

constexpr std::size_t kDefaultWidth = 80;
constexpr std::size_t kIndent = 2;

bool is_capable_terminal(std::FILE* file) {
  const char* term = std::getenv("TERM");
  return isatty(fileno(file)) == 1 && term != nullptr && std::string_view(term) != "dumb";
}

std::size_t width_of(std::FILE* file) {
  winsize size = {};
  return ioctl(fileno(file), TIOCGWINSZ, &size) == 0 && size.ws_col > 10 ? size.ws_col
                                                                         : kDefaultWidth;
}

bool starts_character(char c) {
  return (static_cast<unsigned char>(c) & 0xc0U) != 0x80;
}

// The first `columns` characters.
std::string fit(const std::string& text, std::size_t columns) {
  std::size_t end = 0;
  while (end < text.size()) {
    if (starts_character(text[end]) && columns-- == 0) break;
    ++end;
  }
  return text.substr(0, end);
}

// What came from a build's output or a guest must not move the cursor, nor end the line.
std::string one_line(const std::string& text) {
  std::string line = escape_for_terminal(text);
  std::replace_if(
      line.begin(), line.end(), [](char c) { return c == '\n' || c == '\t'; }, ' ');
  return line;
}

}  // namespace

bool wants_colour(std::FILE* file) {
  const char* no_colour = std::getenv("NO_COLOR");
  return (no_colour == nullptr || no_colour[0] == '\0') && is_capable_terminal(file);
}

StatusLine::StatusLine(std::FILE* file, std::chrono::milliseconds quiet)
    : file_(file),
      terminal_(is_capable_terminal(file)),
      quiet_(quiet),
      talker_([this] { keep_talking(); }) {}

StatusLine::~StatusLine() {
  clear();
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    over_ = true;
  }
  changed_.notify_one();
  talker_.join();
}

std::chrono::milliseconds StatusLine::pause() const {
  // A terminal's line costs nothing, so it counts the seconds sooner.
  return terminal_ ? quiet_ / 4 : quiet_;
}

void StatusLine::keep_talking() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!over_) {
    if (!shown_) {
      changed_.wait(lock);
      continue;
    }
    const auto due = printed_ + pause();
    if (Clock::now() < due) {
      changed_.wait_until(lock, due);
      continue;
    }
    const auto age = std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - news_);
    print(age.count() < 2 ? text_ : fmt::format("{} ({} s)", text_, age.count()));
  }
}

void StatusLine::print(const std::string& text) {
  if (terminal_) {
    // The last column stays free: some terminals wrap as soon as it is written.
    fmt::print(file_, "\r\x1b[K{:{}}{}", "", kIndent, fit(text, width_of(file_) - kIndent - 1));
  } else {
    fmt::print(file_, "{:{}}{}\n", "", kIndent, text);
  }
  std::fflush(file_);
  printed_ = Clock::now();
}

void StatusLine::show(const std::string& text) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    text_ = one_line(text);
    news_ = Clock::now();
    const bool first = printed_ == Clock::time_point();
    if (terminal_ || first || news_ - printed_ >= quiet_) print(text_);
    shown_ = true;
  }
  changed_.notify_one();
}

void StatusLine::clear() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (terminal_ && shown_) {
    fmt::print(file_, "\r\x1b[K");
    std::fflush(file_);
  }
  shown_ = false;
}

}  // namespace mmquake
