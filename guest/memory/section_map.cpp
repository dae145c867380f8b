// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/memory/section_map.h"

#include <elf.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <optional>

#include "guest/memory/mapping.h"
#include "guest/memory/text_file.h"

namespace mmquake {
namespace {

constexpr std::uint64_t kPageBytes = 4096;
// Flags are in the low bits. Maps begin on pages, and a section's first PFN times the size of a
// struct page is a multiple of a page, too.
constexpr std::uint64_t kFlags = kPageBytes - 1;
constexpr std::uint64_t kHasMap = 2;  // SECTION_HAS_MEM_MAP
constexpr std::size_t kMaxNotes = std::size_t{1} << 20;
constexpr std::uint64_t kMaxRoots = 1U << 20;

// /proc/kcore: the kernel's memory as a core file.
class Kcore {
 public:
  static Result<Kcore> open(const std::string& path);
  Result<std::string> vmcoreinfo() const;
  Result<> read(std::uint64_t address, void* to, std::size_t bytes) const;

 private:
  Result<> read_at(std::uint64_t offset, void* to, std::size_t bytes) const;

  std::string path_;
  UniqueFd fd_;
  std::vector<Elf64_Phdr> segments_;
};

Result<> Kcore::read_at(std::uint64_t offset, void* to, std::size_t bytes) const {
  const ssize_t got = pread(fd_.get(), to, bytes, static_cast<off_t>(offset));
  if (got == static_cast<ssize_t>(bytes)) {
    return {};
  }
  return broken(fmt::format("{}: {} bytes at {:#x}: {}", path_, bytes, offset,
                            got < 0 ? errno_text(errno) : "it ends there"));
}

Result<Kcore> Kcore::open(const std::string& path) {
  Kcore core;
  core.path_ = path;
  core.fd_ = UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!core.fd_) {
    return skipped(
        fmt::format("{}: {}: where struct pages are is read there (CONFIG_PROC_KCORE, "
                    "and root)",
                    path, errno_text(errno)));
  }
  Elf64_Ehdr header{};
  if (Result<> got = core.read_at(0, &header, sizeof(header)); !got) {
    return tl::make_unexpected(got.error());
  }
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
      header.e_phentsize != sizeof(Elf64_Phdr)) {
    return broken(path + " is no 64-bit core file");
  }
  core.segments_.resize(header.e_phnum);
  if (Result<> got =
          core.read_at(header.e_phoff, core.segments_.data(), header.e_phnum * sizeof(Elf64_Phdr));
      !got) {
    return tl::make_unexpected(got.error());
  }
  return core;
}

Result<std::string> Kcore::vmcoreinfo() const {
  constexpr std::string_view kName = "VMCOREINFO";
  const auto padded = [](std::uint64_t bytes) { return (bytes + 3) / 4 * 4; };
  for (const Elf64_Phdr& segment : segments_) {
    if (segment.p_type != PT_NOTE || segment.p_filesz > kMaxNotes) {
      continue;
    }
    std::string notes(segment.p_filesz, '\0');
    if (Result<> got = read_at(segment.p_offset, notes.data(), notes.size()); !got) {
      return tl::make_unexpected(got.error());
    }
    for (std::size_t at = 0; at + sizeof(Elf64_Nhdr) <= notes.size();) {
      Elf64_Nhdr note{};
      std::memcpy(&note, notes.data() + at, sizeof(note));
      const std::size_t name = at + sizeof(note);
      const std::size_t text = name + padded(note.n_namesz);
      if (text + note.n_descsz > notes.size()) {
        break;
      }
      if (notes.compare(name, kName.size(), kName) == 0) {
        return notes.substr(text, note.n_descsz);
      }
      at = text + padded(note.n_descsz);
    }
  }
  return skipped(path_ + " has no VMCOREINFO note, which says where the table of sections is");
}

Result<> Kcore::read(std::uint64_t address, void* to, std::size_t bytes) const {
  for (const Elf64_Phdr& segment : segments_) {
    if (segment.p_type == PT_LOAD && address >= segment.p_vaddr &&
        address - segment.p_vaddr < segment.p_memsz &&
        bytes <= segment.p_memsz - (address - segment.p_vaddr)) {
      return read_at(segment.p_offset + (address - segment.p_vaddr), to, bytes);
    }
  }
  return broken(fmt::format("{} does not hold the address {:#x}", path_, address));
}

// "NAME=VALUE" of a VMCOREINFO text.
std::optional<std::uint64_t> value(std::string_view vmcoreinfo, std::string_view name, int base) {
  while (const std::optional<std::string_view> line = next_line(vmcoreinfo)) {
    if (line->starts_with(name) && line->substr(name.size()).starts_with('=')) {
      return to_number(line->substr(name.size() + 1), base);
    }
  }
  return std::nullopt;
}

}  // namespace

Result<SectionFacts> section_facts(std::string_view vmcoreinfo) {
  struct Wanted {
    std::string_view name;
    int base;
    std::optional<std::uint64_t> value;
  };
  Wanted wanted[] = {{"SYMBOL(mem_section)", 16, {}},
                     {"LENGTH(mem_section)", 10, {}},
                     {"SIZE(mem_section)", 10, {}},
                     {"OFFSET(mem_section.section_mem_map)", 10, {}},
                     {"NUMBER(SECTION_SIZE_BITS)", 10, {}}};
  for (Wanted& one : wanted) {
    one.value = value(vmcoreinfo, one.name, one.base);
    if (!one.value) {
      return skipped(
          fmt::format("VMCOREINFO has no {}: is it a kernel with CONFIG_SPARSEMEM?", one.name));
    }
  }
  SectionFacts facts{*wanted[0].value, *wanted[1].value, *wanted[2].value, *wanted[3].value, 0};
  const std::uint64_t bits = *wanted[4].value;
  const bool fits = facts.struct_bytes >= sizeof(std::uint64_t) &&
                    facts.struct_bytes <= kPageBytes && facts.roots <= kMaxRoots &&
                    facts.map_offset <= facts.struct_bytes - sizeof(std::uint64_t) && bits > 12 &&
                    bits < 48;
  if (!fits) {
    return broken("VMCOREINFO's numbers about sections make no sense");
  }
  facts.pages_a_section = std::uint64_t{1} << (bits - 12);
  return facts;
}

Result<SectionMap> SectionMap::read(const std::string& kcore) {
  Result<Kcore> core = Kcore::open(kcore);
  if (!core) {
    return tl::make_unexpected(core.error());
  }
  Result<std::string> text = core->vmcoreinfo();
  if (!text) {
    return tl::make_unexpected(text.error());
  }
  Result<SectionFacts> facts = section_facts(*text);
  if (!facts) {
    return tl::make_unexpected(facts.error());
  }
  std::vector<std::uint64_t> roots(facts->roots);
  if (Result<> got =
          core->read(facts->roots_address, roots.data(), roots.size() * sizeof(roots[0]));
      !got) {
    return tl::make_unexpected(got.error());
  }
  const std::uint64_t sections_a_root = kPageBytes / facts->struct_bytes;
  std::string root(sections_a_root * facts->struct_bytes, '\0');
  std::map<std::uint64_t, std::uint64_t> maps;
  for (std::uint64_t r = 0; r < roots.size(); ++r) {
    if (roots[r] == 0) {
      continue;
    }
    if (Result<> got = core->read(roots[r], root.data(), root.size()); !got) {
      return tl::make_unexpected(got.error());
    }
    for (std::uint64_t i = 0; i < sections_a_root; ++i) {
      std::uint64_t map = 0;
      std::memcpy(&map, root.data() + i * facts->struct_bytes + facts->map_offset, sizeof(map));
      maps[r * sections_a_root + i] = map;
    }
  }
  SectionMap map = of(facts->pages_a_section, maps);
  if (map.sections() == 0) {
    return broken(kcore + " shows no section of memory: it reads as zeros what it hides");
  }
  return map;
}

SectionMap SectionMap::of(std::uint64_t pages_a_section,
                          const std::map<std::uint64_t, std::uint64_t>& section_mem_maps) {
  SectionMap map;
  map.pages_a_section_ = pages_a_section;
  for (const auto& [section, value] : section_mem_maps) {
    if ((value & kHasMap) != 0) {
      map.bases_[section] = value & ~kFlags;
    }
  }
  return map;
}

bool SectionMap::is_break(std::uint64_t section) const {
  const auto here = bases_.find(section);
  const auto before = bases_.find(section - 1);
  return section > 0 && here != bases_.end() && before != bases_.end() &&
         here->second != before->second;
}

std::vector<std::uint64_t> SectionMap::breaks_in(std::uint64_t first, std::uint64_t pages) const {
  std::vector<std::uint64_t> out;
  for (std::uint64_t section = first / pages_a_section_ + 1;
       section * pages_a_section_ < first + pages; ++section) {
    if (is_break(section)) {
      out.push_back(section * pages_a_section_);
    }
  }
  return out;
}

std::size_t SectionMap::breaks() const {
  std::size_t sum = 0;
  for (const auto& [section, base] : bases_) {
    sum += is_break(section) ? 1 : 0;
  }
  return sum;
}

Result<bool> has_vmemmap(const std::string& kallsyms) {
  std::ifstream file(kallsyms);
  if (!file) {
    return skipped(kallsyms + " is not there: it tells of CONFIG_SPARSEMEM_VMEMMAP");
  }
  // "ffffffff81000000 T vmemmap_populate"; the function that a kernel with it must have.
  constexpr std::string_view kFunction = " vmemmap_populate";
  bool any = false;
  for (std::string line; std::getline(file, line);) {
    any = true;
    if (line.ends_with(kFunction)) {
      return true;
    }
  }
  return any ? Result<bool>(false) : Result<bool>(skipped(kallsyms + " is empty"));
}

}  // namespace mmquake
