// SPDX-License-Identifier: GPL-2.0-or-later
//
// What kinds of lines a kernel printed: each line without the numbers that differ from run to run.
// A line of a new shape says that a trial came to a place where none has been, even if nothing is
// wrong with it.
#pragma once

#include <cstddef>
#include <set>
#include <string>
#include <string_view>

namespace mmquake {

class LogShapes {
 public:
  static constexpr std::size_t kMost = 64;    // shapes that are kept
  static constexpr std::size_t kLength = 96;  // of one

  // Console bytes in any pieces. Only printk lines (with a timestamp) count, and only whole ones.
  void feed(std::string_view bytes);
  // Printable ASCII; numbers, hexadecimal ones too, are '#'.
  const std::set<std::string>& shapes() const { return shapes_; }

 private:
  void take_line();

  std::string line_;
  std::set<std::string> shapes_;
};

}  // namespace mmquake
