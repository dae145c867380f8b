// SPDX-License-Identifier: GPL-2.0-or-later
//
// The functions of an ELF file by name and size.
#pragma once

#include <libelf.h>

#include <cstdint>
#include <span>
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
  // The functions that x86-64 code of `function` calls or ends in (CALL and JMP with a 32-bit
  // distance), sorted, each once, without itself. Left out are calls through pointers, and
  // functions whose name another one has, as are all of such a `function`. Bytes that only look
  // like a call count only where they lead to the start of a function.
  std::vector<std::string> callees(std::string_view function) const;

 private:
  struct Symbol {
    std::string_view name;
    std::uint64_t address = 0;
    std::uint64_t size = 0;
  };
  void read(Elf_Scn* section);
  std::uint64_t padded_size(const Symbol& symbol) const;
  // nullptr: none has this name, or several have.
  const Symbol* only(std::string_view name) const;
  const Symbol* beginning_at(std::uint64_t address) const;
  // Empty: it is in no section with code.
  std::span<const std::uint8_t> code_of(const Symbol& function) const;

  Elf* elf_;
  std::vector<Symbol> functions_;  // by name
  std::vector<Symbol> by_address_;
  std::vector<std::uint64_t> addresses_;  // of everything, sorted
};

}  // namespace mmquake
