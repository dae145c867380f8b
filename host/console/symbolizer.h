// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "guest/protocol/result.h"

namespace mmquake {

// Adds file:line, inlines included, to the frames of a kernel log, from a vmlinux with DWARF
// (libdw). The text stays as it is, but for two additions:
//
//                  userfaultfd_must_wait (fs/userfaultfd.c:301) [inline]
//     [   12.3456]  handle_userfault+0x1b/0x2e0 (fs/userfaultfd.c:512)
//
// - behind the frame, the line of that function that runs (or that made the next call),
// - above it, innermost first, a line for each function that is inlined there, indented as the
//   frame is.
//
// A frame is found by its symbol's name and size, which tells static namesakes apart. What is not
// known for sure stays as it is: other symbols, sizes that do not fit, modules, an offset behind
// the function's end. The first frame of a line counts. One object is not for several threads.
class Symbolizer {
 public:
  // Cheap: tables are built when the first frame asks for them.
  static Result<Symbolizer> open(const std::filesystem::path& vmlinux);
  ~Symbolizer();
  Symbolizer(const Symbolizer&) = delete;
  Symbolizer& operator=(const Symbolizer&) = delete;
  Symbolizer(Symbolizer&&) noexcept;
  Symbolizer& operator=(Symbolizer&&) noexcept;

  std::string symbolize(std::string_view text) const;

 private:
  struct Impl;
  explicit Symbolizer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mmquake
