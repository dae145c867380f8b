// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "guest/protocol/result.h"

namespace mmquake {

// Adds file:line, inlines included, to the frames of a kernel stack, from a vmlinux with DWARF
// (libdw): "handle_userfault+0x1b/0x2e0" becomes
// "handle_userfault+0x1b/0x2e0 (fs/userfaultfd.c:512)". Frames it does not know stay as they are.
class Symbolizer {
 public:
  static Result<Symbolizer> open(const std::filesystem::path& vmlinux);
  ~Symbolizer();
  Symbolizer(Symbolizer&&) noexcept;
  Symbolizer& operator=(Symbolizer&&) noexcept;

  std::string symbolize(std::string_view text) const;

 private:
  struct Impl;
  explicit Symbolizer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mmquake
