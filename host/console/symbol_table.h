// SPDX-License-Identifier: GPL-2.0-or-later
//
// The functions of an ELF file by name and size.
#pragma once

#include <libelf.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "host/console/printk_line.h"

namespace mmquake {

// Keeps views into the ELF file, which must outlive it.
class SymbolTable {
 public:
  explicit SymbolTable(Elf* elf);
  // Start addresses of the functions that `ref` may mean: more than one for namesakes of one
  // size, none if it is unknown or its offset is not inside of it.
  std::vector<std::uint64_t> find(const FunctionRef& ref) const;
  // "FUNCTION+0xOFFSET" for an address of a function whose name no other one has; of a namesake
  // "_text+0xOFFSET", which means one place only. Empty: there is no code.
  std::string place_of(std::uint64_t address) const;

 private:
  struct Symbol {
    std::string_view name;
    std::uint64_t address = 0;
    std::uint64_t size = 0;
  };
  void read(Elf_Scn* section);
  std::uint64_t padded_size(const Symbol& symbol) const;

  Elf* elf_;
  std::vector<Symbol> functions_;  // by name
  std::vector<Symbol> by_address_;
  std::vector<std::uint64_t> addresses_;  // of everything, sorted
};

}  // namespace mmquake
