// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/console/log_shapes.h"

#include <algorithm>
#include <cctype>

#include "host/console/printk_line.h"

namespace mmquake {
namespace {

constexpr std::size_t kLongestLine = 1024;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_hex(char c) {
  return std::isxdigit(static_cast<unsigned char>(c)) != 0;
}
bool is_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

// "ffff888003c04000", "0x1f", "32kB" and "order4" have a number; "added", "face" have none.
void append_word(std::string& out, std::string_view word) {
  const bool has_digit = std::any_of(word.begin(), word.end(), is_digit);
  const std::string_view digits = word.starts_with("0x") ? word.substr(2) : word;
  if (has_digit && std::all_of(digits.begin(), digits.end(), is_hex)) {
    out += '#';
    return;
  }
  for (std::size_t i = 0; i < word.size(); ++i) {
    if (!is_digit(word[i])) {
      out += word[i];
    } else if (i == 0 || !is_digit(word[i - 1])) {
      out += '#';
    }
  }
}

std::string shape_of(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size() && out.size() < LogShapes::kLength;) {
    std::size_t end = at;
    while (end < text.size() && is_word(text[end])) ++end;
    if (end > at) {
      append_word(out, text.substr(at, end - at));
    } else {
      const auto c = static_cast<unsigned char>(text[end++]);
      out += c >= 0x20 && c < 0x7f ? static_cast<char>(c) : '?';
    }
    at = end;
  }
  out.resize(std::min(out.size(), LogShapes::kLength));
  return out;
}

}  // namespace

void LogShapes::feed(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::size_t end = std::min(bytes.find('\n'), bytes.size());
    line_.append(bytes.substr(0, std::min(end, kLongestLine - line_.size())));
    if (end == bytes.size()) return;
    take_line();
    bytes.remove_prefix(end + 1);
  }
}

void LogShapes::take_line() {
  const PrintkLine printed = parse_printk_line(line_);
  if (printed.seconds && !printed.text.empty() && shapes_.size() < kMost) {
    shapes_.insert(shape_of(printed.text));
  }
  line_.clear();
}

}  // namespace mmquake
