// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/console/printk_line.h"

#include <algorithm>
#include <charconv>
#include <system_error>

namespace mmquake {
namespace {

constexpr std::size_t kMaxName = 256;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool is_name_char(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '.';
}

int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Reads "0x" and 1 to 16 hex digits at `at`, and moves it behind them.
std::optional<std::uint64_t> take_hex(std::string_view text, std::size_t& at) {
  if (text.substr(at, 2) != "0x") return std::nullopt;
  std::uint64_t value = 0;
  std::size_t digits = 0;
  std::size_t here = at + 2;
  for (; here < text.size() && hex_value(text[here]) >= 0; ++here, ++digits) {
    if (digits == 16) return std::nullopt;
    value = value << 4 | static_cast<std::uint64_t>(hex_value(text[here]));
  }
  if (digits == 0) return std::nullopt;
  at = here;
  return value;
}

// Length of "[   12.345678]" at the start of `text`, or 0.
std::size_t timestamp_length(std::string_view text) {
  std::size_t at = 1;
  if (text.empty() || text[0] != '[') return 0;
  while (at < text.size() && text[at] == ' ') ++at;
  const std::size_t seconds = at;
  while (at < text.size() && is_digit(text[at])) ++at;
  if (at == seconds || at >= text.size() || text[at] != '.') return 0;
  ++at;
  for (int i = 0; i < 6; ++i, ++at) {
    if (at >= text.size() || !is_digit(text[at])) return 0;
  }
  return at < text.size() && text[at] == ']' ? at + 1 : 0;
}

// The number in a timestamp whose form timestamp_length() has checked.
std::optional<double> timestamp(std::string_view text) {
  text.remove_prefix(text.find_first_not_of(" ["));
  double seconds = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (read.ec != std::errc()) return std::nullopt;
  return seconds;
}

// "T123" or "C1" of "[  T123]" at the start of `text`, which is moved behind it.
std::string_view take_caller(std::string_view& text) {
  if (text.empty() || text[0] != '[') return {};
  std::size_t at = 1;
  while (at < text.size() && text[at] == ' ') ++at;
  const std::size_t start = at;
  if (at >= text.size() || (text[at] != 'T' && text[at] != 'C')) return {};
  ++at;
  while (at < text.size() && is_digit(text[at])) ++at;
  if (at == start + 1 || at - start > 11 || at >= text.size() || text[at] != ']') return {};
  const std::string_view caller = text.substr(start, at - start);
  text.remove_prefix(at + 1);
  return caller;
}

void drop_level(std::string_view& text) {
  if (text.size() >= 3 && text[0] == '<' && is_digit(text[1]) && text[2] == '>') {
    text.remove_prefix(3);
  }
}

}  // namespace

PrintkLine parse_printk_line(std::string_view line) {
  while (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  std::string_view text = line;
  drop_level(text);
  std::size_t length = timestamp_length(text);
  // Each '[' is looked at once, and a timestamp cannot hold another '[': linear.
  for (std::size_t at = text.find('[', 1); length == 0 && at < text.size();
       at = text.find('[', at + 1)) {
    length = timestamp_length(text.substr(at));
    if (length > 0) text.remove_prefix(at);
  }
  PrintkLine parsed;
  if (length > 0) parsed.seconds = timestamp(text.substr(0, length));
  text.remove_prefix(length);
  parsed.caller = take_caller(text);
  if ((length > 0 || !parsed.caller.empty()) && text.starts_with(' ')) text.remove_prefix(1);
  parsed.text = text;
  return parsed;
}

std::optional<FunctionRef> find_function(std::string_view text, std::size_t from) {
  for (std::size_t plus = text.find("+0x", from); plus != std::string_view::npos;
       plus = text.find("+0x", plus + 1)) {
    FunctionRef ref;
    ref.begin = plus;
    while (ref.begin > from && is_name_char(text[ref.begin - 1])) --ref.begin;
    ref.name = text.substr(ref.begin, plus - ref.begin);
    if (ref.name.empty() || ref.name.size() > kMaxName || is_digit(ref.name[0]) ||
        ref.name[0] == '.') {
      continue;
    }
    ref.end = plus + 1;
    const auto offset = take_hex(text, ref.end);
    if (!offset || ref.end >= text.size() || text[ref.end] != '/') continue;
    ++ref.end;
    const auto size = take_hex(text, ref.end);
    if (!size) continue;
    ref.offset = *offset;
    ref.size = *size;
    return ref;
  }
  return std::nullopt;
}

std::optional<StackFrame> stack_frame(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
  // Old kernels, and /proc/PID/stack, put the address first.
  if (text.starts_with("[<")) {
    const std::size_t close = text.find(">]");
    if (close > 20) return std::nullopt;
    text.remove_prefix(close + 2);
    text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  }
  StackFrame frame;
  if (text.starts_with("? ")) {
    frame.reliable = false;
    text.remove_prefix(2);
  }
  if (text.empty() || !is_name_char(text[0])) return std::nullopt;
  const std::size_t plus = std::min(text.find_first_of("+ "), text.size());
  if (!text.substr(plus).starts_with("+0x")) return std::nullopt;
  const auto ref = find_function(text.substr(0, plus + 64));
  if (!ref || ref->begin != 0) return std::nullopt;
  frame.function = ref->name;
  return frame;
}

std::string_view kernel_rip(std::string_view text) {
  if (!text.starts_with("RIP: 0010:")) return {};
  text.remove_prefix(10);
  const auto frame = stack_frame(text);
  return frame ? frame->function : std::string_view{};
}

std::string_view base_name(std::string_view function) {
  return function.substr(0, function.find('.'));
}

}  // namespace mmquake
