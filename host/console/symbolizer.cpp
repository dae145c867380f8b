// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/console/symbolizer.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "host/console/printk_line.h"
#include "host/console/symbol_table.h"

namespace mmquake {
namespace {

// A guest may fill its console with frames; that many places are looked up, the rest stays raw.
constexpr std::size_t kMaxPlaces = 4096;
constexpr std::size_t kMaxInlines = 32;
constexpr std::size_t kMaxIndent = 80;
// Deeper nesting of blocks does not exist in a compiler's output.
constexpr int kMaxDepth = 64;
constexpr std::string_view kMain = "/init/main.c";

// One function that runs at an address: inlined ones first, the real one last (without a name).
struct Place {
  std::string function;
  std::string location;  // "mm/gup.c:123"
  bool operator==(const Place&) const = default;
};
using Places = std::vector<Place>;
const Places kUnknown;

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  ~FileDescriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

struct ElfEnd {
  void operator()(Elf* elf) const { elf_end(elf); }
};
struct DwarfEnd {
  void operator()(Dwarf* dwarf) const { dwarf_end(dwarf); }
};

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

std::optional<Dwarf_Word> number_of(Dwarf_Die* die, unsigned name) {
  Dwarf_Attribute attribute;
  Dwarf_Word value = 0;
  if (dwarf_attr(die, name, &attribute) == nullptr || dwarf_formudata(&attribute, &value) != 0) {
    return std::nullopt;
  }
  return value;
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

struct Symbolizer::Impl {
  FileDescriptor fd;
  std::unique_ptr<Elf, ElfEnd> elf;
  std::unique_ptr<Dwarf, DwarfEnd> dwarf;
  std::optional<SymbolTable> symbols;
  std::unordered_map<std::uint64_t, Places> cache;
  std::optional<std::string> source_root;

  explicit Impl(int file) : fd(file) {}

  Places places_of(const FunctionRef& ref, bool return_address);
  const Places& places_at(std::uint64_t pc);
  Places look_up(std::uint64_t pc);
  bool unit_of(std::uint64_t pc, Dwarf_Die* unit);
  std::string location(Dwarf_Die* unit, const char* file, long line);
  const std::string& root();
  void add_line(std::string_view line, std::string& out);
};

// Where the kernel's sources were: what precedes init/main.c, whose unit every kernel has.
const std::string& Symbolizer::Impl::root() {
  if (source_root) return *source_root;
  source_root.emplace();
  Dwarf_CU* cu = nullptr;
  Dwarf_Die unit;
  while (dwarf_get_units(dwarf.get(), cu, &cu, nullptr, nullptr, &unit, nullptr) == 0) {
    if (!text_of(&unit, DW_AT_name).ends_with("init/main.c")) continue;
    const std::string path = unit_path(&unit);
    if (!path.ends_with(kMain)) continue;
    source_root = path.substr(0, path.size() - kMain.size() + 1);
    break;
  }
  return *source_root;
}

std::string Symbolizer::Impl::location(Dwarf_Die* unit, const char* file, long line) {
  if (file == nullptr || line <= 0) return {};
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
  return fmt::format("{}:{}", shown, line);
}

bool Symbolizer::Impl::unit_of(std::uint64_t pc, Dwarf_Die* unit) {
  if (dwarf_addrdie(dwarf.get(), pc, unit) != nullptr) return true;
  // Without .debug_aranges (clang) every unit is asked.
  Dwarf_CU* cu = nullptr;
  while (dwarf_get_units(dwarf.get(), cu, &cu, nullptr, nullptr, unit, nullptr) == 0) {
    if (dwarf_haspc(unit, pc) > 0) return true;
  }
  return false;
}

Places Symbolizer::Impl::look_up(std::uint64_t pc) {
  Dwarf_Die unit;
  if (!unit_of(pc, &unit)) return {};
  Dwarf_Line* row = dwarf_getsrc_die(&unit, pc);
  int line = 0;
  if (row == nullptr || dwarf_lineno(row, &line) != 0) return {};
  std::string here = location(&unit, dwarf_linesrc(row, nullptr, nullptr), line);
  Dwarf_Files* files = nullptr;
  std::size_t file_count = 0;
  std::vector<Dwarf_Die> inlines;
  if (dwarf_getsrcfiles(&unit, &files, &file_count) == 0) inlines = inlines_at(&unit, pc);
  Places places;
  for (auto inlined = inlines.rbegin(); inlined != inlines.rend(); ++inlined) {
    const char* name = dwarf_diename(&*inlined);
    places.push_back({name == nullptr ? "?" : name, here});
    const Dwarf_Word file = number_of(&*inlined, DW_AT_call_file).value_or(file_count);
    const auto call_line = static_cast<long>(number_of(&*inlined, DW_AT_call_line).value_or(0));
    here = file < file_count
               ? location(&unit, dwarf_filesrc(files, file, nullptr, nullptr), call_line)
               : std::string();
  }
  places.push_back({"", here});
  return places;
}

const Places& Symbolizer::Impl::places_at(std::uint64_t pc) {
  if (const auto known = cache.find(pc); known != cache.end()) return known->second;
  if (cache.size() >= kMaxPlaces) return kUnknown;
  return cache.emplace(pc, look_up(pc)).first->second;
}

Places Symbolizer::Impl::places_of(const FunctionRef& ref, bool return_address) {
  if (!symbols) symbols.emplace(elf.get());
  // A return address may already belong to the next line, or the next function.
  const std::uint64_t back = return_address && ref.offset > 0 ? 1 : 0;
  Places places;
  for (const std::uint64_t address : symbols->find(ref)) {
    const Places& here = places_at(address + ref.offset - back);
    if (!places.empty() && places != here) return {};  // namesakes of one size: no guessing
    places = here;
  }
  return places;
}

void Symbolizer::Impl::add_line(std::string_view line, std::string& out) {
  const auto ref = find_function(line);
  Places places;
  if (ref && !line.substr(ref->end).starts_with(" [")) {
    const std::string_view before = line.substr(0, ref->begin);
    const bool exact = before.find("RIP: ") != std::string_view::npos ||
                       before.find("WARNING: ") != std::string_view::npos ||
                       before.ends_with("idling at ");
    places = places_of(*ref, !exact);
  }
  if (places.empty() || places.back().location.empty()) {
    out += line;
    return;
  }
  for (std::size_t i = 0; i + 1 < places.size(); ++i) {
    out.append(std::min(ref->begin, kMaxIndent), ' ');
    out += fmt::format("{} ({}) [inline]\n", places[i].function,
                       places[i].location.empty() ? "?" : places[i].location);
  }
  out += line.substr(0, ref->end);
  out += fmt::format(" ({})", places.back().location);
  out += line.substr(ref->end);
}

Symbolizer::Symbolizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Symbolizer::~Symbolizer() = default;
Symbolizer::Symbolizer(Symbolizer&&) noexcept = default;
Symbolizer& Symbolizer::operator=(Symbolizer&&) noexcept = default;

Result<Symbolizer> Symbolizer::open(const std::filesystem::path& vmlinux) {
  const std::string name = "'" + vmlinux.string() + "'";
  auto impl = std::make_unique<Impl>(::open(vmlinux.c_str(), O_RDONLY | O_CLOEXEC));
  if (impl->fd.get() < 0) {
    return broken("read debug information of " + name + ": " + std::strerror(errno));
  }
  elf_version(EV_CURRENT);
  impl->elf.reset(elf_begin(impl->fd.get(), ELF_C_READ_MMAP, nullptr));
  if (!impl->elf || elf_kind(impl->elf.get()) != ELF_K_ELF) {
    return broken("read debug information of " + name + ": it is no ELF file");
  }
  impl->dwarf.reset(dwarf_begin_elf(impl->elf.get(), DWARF_C_READ, nullptr));
  if (!impl->dwarf) {
    return broken("read debug information of " + name + ": " + dwarf_errmsg(-1) +
                  "; build the kernel with CONFIG_DEBUG_INFO");
  }
  return Symbolizer(std::move(impl));
}

std::string Symbolizer::symbolize(std::string_view text) const {
  std::string out;
  out.reserve(text.size() * 2);
  while (!text.empty()) {
    const std::size_t newline = text.find('\n');
    impl_->add_line(text.substr(0, newline), out);
    if (newline == std::string_view::npos) break;
    out += '\n';
    text.remove_prefix(newline + 1);
  }
  return out;
}

}  // namespace mmquake
