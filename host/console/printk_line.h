// SPDX-License-Identifier: GPL-2.0-or-later
//
// The smallest parts of a kernel log: a line's prefix, a function with its offset, a stack frame.
// All functions are linear in the text and keep views into it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace mmquake {

struct PrintkLine {
  std::string_view text;          // without the prefix and without a trailing CR
  std::string_view caller;        // "T123" or "C1" (CONFIG_PRINTK_CALLER), else empty
  std::optional<double> seconds;  // its timestamp
};

// "<4>[   12.345678][  T123] text". What a program printed before it on the same line, without
// a newline of its own, is skipped.
PrintkLine parse_printk_line(std::string_view line);

// "name+0x1b/0x2e0" somewhere in a text.
struct FunctionRef {
  std::string_view name;
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
  std::size_t begin = 0;  // of the name
  std::size_t end = 0;    // behind the size
};
std::optional<FunctionRef> find_function(std::string_view text, std::size_t from = 0);

// A line of a call trace. A frame with '?' was only found on the stack: not reliable.
struct StackFrame {
  std::string_view function;
  bool reliable = true;
};
std::optional<StackFrame> stack_frame(std::string_view text);

// The function of "RIP: 0010:f+0x1/0x2"; empty for every other line and for a user-mode RIP.
std::string_view kernel_rip(std::string_view text);

// "f.isra.0" -> "f": what the compiler did to a function is no part of a title.
std::string_view base_name(std::string_view function);

}  // namespace mmquake
