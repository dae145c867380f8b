// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/console/debug_info.h"

#include <dwarf.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace mmquake {
namespace {

constexpr std::size_t kMaxInlines = 32;
// Deeper nesting of blocks does not exist in a compiler's output.
constexpr int kMaxDepth = 64;
constexpr std::string_view kMain = "/init/main.c";

// Appends the inlined subroutines around `pc` below `die`, outermost first.
void collect_inlines(Dwarf_Die* die, Dwarf_Addr pc, std::vector<Dwarf_Die>& out, int depth) {
  Dwarf_Die child;
  if (depth > kMaxDepth || out.size() >= kMaxInlines || dwarf_child(die, &child) != 0) return;
  do {
    const int tag = dwarf_tag(&child);
    if (tag != DW_TAG_inlined_subroutine && tag != DW_TAG_lexical_block) continue;
    if (dwarf_haspc(&child, pc) <= 0) continue;
    if (tag == DW_TAG_inlined_subroutine) out.push_back(child);
    collect_inlines(&child, pc, out, depth + 1);
    return;
  } while (dwarf_siblingof(&child, &child) == 0);
}

std::string_view text_of(Dwarf_Die* die, unsigned name) {
  Dwarf_Attribute attribute;
  const char* text = dwarf_formstring(dwarf_attr(die, name, &attribute));
  return text == nullptr ? "" : text;
}

// Absolute path of a unit's main source file.
std::string unit_path(Dwarf_Die* unit) {
  const std::filesystem::path name = text_of(unit, DW_AT_name);
  return (std::filesystem::path(text_of(unit, DW_AT_comp_dir)) / name).lexically_normal();
}

}  // namespace

std::vector<Dwarf_Die> inlines_at(Dwarf_Die* unit, Dwarf_Addr pc) {
  std::vector<Dwarf_Die> out;
  Dwarf_Die die;
  if (dwarf_child(unit, &die) != 0) return out;
  do {
    if (dwarf_tag(&die) == DW_TAG_subprogram && dwarf_haspc(&die, pc) > 0) {
      collect_inlines(&die, pc, out, 0);
      return out;
    }
  } while (dwarf_siblingof(&die, &die) == 0);
  return out;
}

Result<std::unique_ptr<DebugInfo>> DebugInfo::open(const std::filesystem::path& vmlinux) {
  const std::string name = "'" + vmlinux.string() + "'";
  std::unique_ptr<DebugInfo> info(new DebugInfo(::open(vmlinux.c_str(), O_RDONLY | O_CLOEXEC)));
  if (info->fd_ < 0) {
    return broken("read debug information of " + name + ": " + std::strerror(errno));
  }
  elf_version(EV_CURRENT);
  info->elf_.reset(elf_begin(info->fd_, ELF_C_READ_MMAP, nullptr));
  if (!info->elf_ || elf_kind(info->elf_.get()) != ELF_K_ELF) {
    return broken("read debug information of " + name + ": it is no ELF file");
  }
  info->dwarf_.reset(dwarf_begin_elf(info->elf_.get(), DWARF_C_READ, nullptr));
  if (!info->dwarf_) {
    return broken("read debug information of " + name + ": " + dwarf_errmsg(-1) +
                  "; build the kernel with CONFIG_DEBUG_INFO");
  }
  return info;
}

DebugInfo::~DebugInfo() {
  dwarf_.reset();
  elf_.reset();
  if (fd_ >= 0) ::close(fd_);
}

const SymbolTable& DebugInfo::symbols() {
  if (!symbols_) symbols_.emplace(elf_.get());
  return *symbols_;
}

// Where the kernel's sources were: what precedes init/main.c, whose unit every kernel has.
const std::string& DebugInfo::root() {
  if (root_) return *root_;
  root_.emplace();
  Dwarf_CU* cu = nullptr;
  Dwarf_Die unit;
  while (dwarf_get_units(dwarf_.get(), cu, &cu, nullptr, nullptr, &unit, nullptr) == 0) {
    if (!text_of(&unit, DW_AT_name).ends_with("init/main.c")) continue;
    const std::string path = unit_path(&unit);
    if (!path.ends_with(kMain)) continue;
    root_ = path.substr(0, path.size() - kMain.size() + 1);
    break;
  }
  return *root_;
}

std::string DebugInfo::source_name(Dwarf_Die* unit, const char* file) {
  const std::filesystem::path directory = text_of(unit, DW_AT_comp_dir);
  // A file in a relative directory ("../mm") is left so by libdw.
  const std::string path = (directory / file).lexically_normal();
  const std::string below = (directory / "").lexically_normal();
  std::string_view shown = path;
  if (shown.starts_with('/') && !root().empty() && shown.starts_with(root())) {
    shown.remove_prefix(root().size());
  } else if (shown.starts_with(below)) {
    shown.remove_prefix(below.size());
  }
  return std::string(shown);
}

bool DebugInfo::unit_of(std::uint64_t pc, Dwarf_Die* unit) const {
  if (dwarf_addrdie(dwarf_.get(), pc, unit) != nullptr) return true;
  // Without .debug_aranges (clang) every unit is asked.
  Dwarf_CU* cu = nullptr;
  while (dwarf_get_units(dwarf_.get(), cu, &cu, nullptr, nullptr, unit, nullptr) == 0) {
    if (dwarf_haspc(unit, pc) > 0) return true;
  }
  return false;
}

}  // namespace mmquake
