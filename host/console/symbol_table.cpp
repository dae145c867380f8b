// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/console/symbol_table.h"

#include <fmt/format.h>
#include <gelf.h>

#include <algorithm>
#include <cstring>

namespace mmquake {
namespace {

// The kernel takes a function's end from the next symbol (kallsyms), so alignment counts as a
// part of it.
constexpr std::uint64_t kMaxPadding = 64;
// CALL rel32 and JMP rel32.
constexpr std::uint8_t kCall = 0xe8, kJump = 0xe9;

}  // namespace

SymbolTable::SymbolTable(Elf* elf) : elf_(elf) {
  for (Elf_Scn* section = nullptr; (section = elf_nextscn(elf, section)) != nullptr;) {
    GElf_Shdr header;
    if (gelf_getshdr(section, &header) != nullptr && header.sh_type == SHT_SYMTAB) read(section);
  }
  std::sort(functions_.begin(), functions_.end(), [](const Symbol& a, const Symbol& b) {
    return a.name != b.name ? a.name < b.name : a.address < b.address;
  });
  by_address_ = functions_;
  std::erase_if(by_address_, [](const Symbol& symbol) { return symbol.size == 0; });
  std::stable_sort(by_address_.begin(), by_address_.end(),
                   [](const Symbol& a, const Symbol& b) { return a.address < b.address; });
  std::sort(addresses_.begin(), addresses_.end());
  addresses_.erase(std::unique(addresses_.begin(), addresses_.end()), addresses_.end());
}

void SymbolTable::read(Elf_Scn* section) {
  GElf_Shdr header;
  Elf_Data* data = elf_getdata(section, nullptr);
  if (data == nullptr || gelf_getshdr(section, &header) == nullptr || header.sh_entsize == 0) {
    return;
  }
  const std::size_t count = header.sh_size / header.sh_entsize;
  functions_.reserve(count);
  addresses_.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    GElf_Sym symbol;
    if (gelf_getsym(data, static_cast<int>(i), &symbol) == nullptr) break;
    const int type = GELF_ST_TYPE(symbol.st_info);
    if (symbol.st_shndx == SHN_UNDEF || symbol.st_shndx == SHN_ABS || type == STT_SECTION ||
        type == STT_FILE) {
      continue;
    }
    const char* name = elf_strptr(elf_, header.sh_link, symbol.st_name);
    if (name == nullptr || name[0] == '\0' || name[0] == '.' || name[0] == '$') continue;
    addresses_.push_back(symbol.st_value);
    if (type == STT_FUNC || type == STT_NOTYPE) {
      functions_.push_back({name, symbol.st_value, symbol.st_size});
    }
  }
}

std::uint64_t SymbolTable::padded_size(const Symbol& symbol) const {
  const auto next = std::upper_bound(addresses_.begin(), addresses_.end(), symbol.address);
  return next == addresses_.end() ? symbol.size : *next - symbol.address;
}

std::string SymbolTable::place_of(std::uint64_t address) const {
  auto symbol = std::upper_bound(
      by_address_.begin(), by_address_.end(), address,
      [](std::uint64_t wanted, const Symbol& one) { return wanted < one.address; });
  if (symbol == by_address_.begin()) return {};
  --symbol;
  if (address - symbol->address >= symbol->size) return {};
  if (only(symbol->name) != nullptr) {
    return fmt::format("{}+{:#x}", symbol->name, address - symbol->address);
  }
  const Symbol* text = only("_text");
  if (text == nullptr || address < text->address) return {};
  return fmt::format("_text+{:#x}", address - text->address);
}

std::vector<std::uint64_t> SymbolTable::find(const FunctionRef& ref) const {
  std::vector<std::uint64_t> exact, close;
  // A call that never returns is a function's last instruction: its return address is the end.
  if (ref.offset > ref.size) return exact;
  auto symbol =
      std::lower_bound(functions_.begin(), functions_.end(), ref.name,
                       [](const Symbol& a, std::string_view name) { return a.name < name; });
  for (; symbol != functions_.end() && symbol->name == ref.name; ++symbol) {
    const std::uint64_t padded = padded_size(*symbol);
    if (ref.size == symbol->size || ref.size == padded) {
      exact.push_back(symbol->address);
    } else if (ref.size > symbol->size && ref.size - symbol->size < kMaxPadding &&
               ref.size < padded) {
      close.push_back(symbol->address);
    }
  }
  std::vector<std::uint64_t>& found = exact.empty() ? close : exact;
  found.erase(std::unique(found.begin(), found.end()), found.end());
  return found;
}

const SymbolTable::Symbol* SymbolTable::only(std::string_view name) const {
  const auto [first, last] =
      std::equal_range(functions_.begin(), functions_.end(), Symbol{name},
                       [](const Symbol& a, const Symbol& b) { return a.name < b.name; });
  return last - first == 1 ? &*first : nullptr;
}

const SymbolTable::Symbol* SymbolTable::beginning_at(std::uint64_t address) const {
  const auto symbol = std::lower_bound(
      by_address_.begin(), by_address_.end(), address,
      [](const Symbol& one, std::uint64_t wanted) { return one.address < wanted; });
  return symbol != by_address_.end() && symbol->address == address ? &*symbol : nullptr;
}

std::span<const std::uint8_t> SymbolTable::code_of(const Symbol& function) const {
  for (Elf_Scn* section = nullptr; (section = elf_nextscn(elf_, section)) != nullptr;) {
    GElf_Shdr header;
    if (gelf_getshdr(section, &header) == nullptr || (header.sh_flags & SHF_EXECINSTR) == 0 ||
        header.sh_type != SHT_PROGBITS || function.address < header.sh_addr) {
      continue;
    }
    const std::uint64_t offset = function.address - header.sh_addr;
    const Elf_Data* data = elf_rawdata(section, nullptr);
    if (data == nullptr || data->d_buf == nullptr || offset > data->d_size ||
        function.size > data->d_size - offset) {
      continue;
    }
    return {static_cast<const std::uint8_t*>(data->d_buf) + offset, function.size};
  }
  return {};
}

std::vector<std::string> SymbolTable::callees(std::string_view function) const {
  std::vector<std::string> out;
  const Symbol* caller = only(function);
  if (caller == nullptr) return out;
  const std::span<const std::uint8_t> code = code_of(*caller);
  constexpr std::size_t kLength = 1 + sizeof(std::int32_t);
  for (std::size_t at = 0; at + kLength <= code.size(); ++at) {
    if (code[at] != kCall && code[at] != kJump) continue;
    std::int32_t distance = 0;
    std::memcpy(&distance, &code[at + 1], sizeof distance);
    const Symbol* callee = beginning_at(caller->address + at + kLength +
                                        static_cast<std::uint64_t>(std::int64_t{distance}));
    if (callee != nullptr && callee->name != function && only(callee->name) != nullptr) {
      out.emplace_back(callee->name);
    }
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

}  // namespace mmquake
