// SPDX-License-Identifier: GPL-2.0-or-later
//
// A vmlinux with DWARF, as libdw reads it: what looking up an address and looking up a line share.
#pragma once

#include <elfutils/libdw.h>
#include <libelf.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "guest/protocol/result.h"
#include "host/console/symbol_table.h"

namespace mmquake {

class DebugInfo {
 public:
  // The error says that there is no file, no ELF, or no DWARF in it.
  static Result<std::unique_ptr<DebugInfo>> open(const std::filesystem::path& vmlinux);
  DebugInfo(const DebugInfo&) = delete;
  DebugInfo& operator=(const DebugInfo&) = delete;
  ~DebugInfo();

  Dwarf* dwarf() const { return dwarf_.get(); }
  const SymbolTable& symbols();
  // The compilation unit whose code this is. False: none.
  bool unit_of(std::uint64_t pc, Dwarf_Die* unit) const;
  // A file as the unit names it, from the kernel's sources on: "mm/gup.c". Of a file elsewhere the
  // whole path.
  std::string source_name(Dwarf_Die* unit, const char* file);

 private:
  explicit DebugInfo(int fd) : fd_(fd) {}
  const std::string& root();

  struct ElfEnd {
    void operator()(Elf* elf) const { elf_end(elf); }
  };
  struct DwarfEnd {
    void operator()(Dwarf* dwarf) const { dwarf_end(dwarf); }
  };
  int fd_;
  std::unique_ptr<Elf, ElfEnd> elf_;
  std::unique_ptr<Dwarf, DwarfEnd> dwarf_;
  std::optional<SymbolTable> symbols_;
  std::optional<std::string> root_;
};

// The functions that are inlined around `pc`, outermost first.
std::vector<Dwarf_Die> inlines_at(Dwarf_Die* unit, Dwarf_Addr pc);

}  // namespace mmquake
