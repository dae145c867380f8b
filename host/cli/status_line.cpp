// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/cli/status_line.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <string_view>

namespace mmquake {

bool wants_colour(std::FILE* file) {
  const char* term = std::getenv("TERM");
  return std::getenv("NO_COLOR") == nullptr && isatty(fileno(file)) == 1 && term != nullptr &&
         std::string_view(term) != "dumb";
}

StatusLine::StatusLine(std::FILE* file) : file_(file), terminal_(isatty(fileno(file)) == 1) {}

void StatusLine::show(const std::string& text) {
  const auto now = std::chrono::steady_clock::now();
  if (!terminal_) {
    if (now - last_ < std::chrono::seconds(4)) return;
    last_ = now;
    fmt::print(file_, "  {}\n", text);
    std::fflush(file_);
    return;
  }
  winsize size = {};
  const std::size_t width =
      ioctl(fileno(file_), TIOCGWINSZ, &size) == 0 && size.ws_col > 10 ? size.ws_col - 1 : 79;
  fmt::print(file_, "\r\x1b[K  {}", text.substr(0, width - 2));
  std::fflush(file_);
  shown_ = true;
}

void StatusLine::clear() {
  if (!terminal_ || !shown_) return;
  fmt::print(file_, "\r\x1b[K");
  std::fflush(file_);
  shown_ = false;
}

}  // namespace mmquake
