// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/campaign/vmcoreinfo.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gelf.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>

namespace mmquake {
namespace {

namespace fs = std::filesystem;
// struct disk_dump_header, and behind it, a block later, struct kdump_sub_header (makedumpfile).
constexpr std::string_view kMagic = "KDUMP   ";
constexpr std::streamoff kNames = 12;  // struct new_utsname
constexpr std::size_t kNameBytes = 65;
constexpr std::streamoff kBlockSize = 428;
constexpr std::streamoff kNotes = 48;  // of the sub header: offset and size, from version 4 on
constexpr std::uint64_t kMaxNotes = 16 << 20;
constexpr std::string_view kNoteName{"VMCOREINFO\0", 11};

template <typename T>
T get(std::fstream& file, std::streamoff at) {
  T value{};
  file.seekg(at);
  file.read(reinterpret_cast<char*>(&value), sizeof(value));
  return value;
}

template <typename T>
std::string bytes_of(T value) {
  std::string out(sizeof(value), '\0');
  std::memcpy(out.data(), &value, sizeof(value));
  return out;
}

void put(std::fstream& file, std::streamoff at, const std::string& bytes) {
  file.seekp(at);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

std::string padded(std::string_view text) {
  std::string out(text);
  out.resize((out.size() + 3) / 4 * 4, '\0');
  return out;
}

// The addresses of these symbols, as far as the file has them.
std::map<std::string, std::uint64_t> addresses(const fs::path& vmlinux,
                                               const std::map<std::string, std::uint64_t>& wanted) {
  std::map<std::string, std::uint64_t> out;
  const int fd = open(vmlinux.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return out;
  elf_version(EV_CURRENT);
  struct End {
    void operator()(Elf* one) const { elf_end(one); }
  };
  const std::unique_ptr<Elf, End> elf(elf_begin(fd, ELF_C_READ_MMAP, nullptr));
  Elf_Scn* section = nullptr;
  while (elf && (section = elf_nextscn(elf.get(), section)) != nullptr) {
    GElf_Shdr header;
    if (gelf_getshdr(section, &header) == nullptr || header.sh_type != SHT_SYMTAB) continue;
    Elf_Data* data = elf_getdata(section, nullptr);
    GElf_Sym symbol;
    for (int i = 0; data != nullptr && gelf_getsym(data, i, &symbol) != nullptr; ++i) {
      const char* name = elf_strptr(elf.get(), header.sh_link, symbol.st_name);
      if (name != nullptr && wanted.contains(name)) out[name] = symbol.st_value;
    }
  }
  close(fd);
  return out;
}

Result<std::string> info_text(const DumpedKernel& kernel) {
  const std::map<std::string, std::uint64_t> found =
      addresses(kernel.vmlinux, {{"init_top_pgt", 0}, {"_stext", 0}});
  if (found.size() != 2) {
    return broken(fmt::format("no init_top_pgt and _stext in '{}'", kernel.vmlinux.string()));
  }
  return fmt::format(
      "OSRELEASE={0}\nPAGESIZE=4096\nSYMBOL(swapper_pg_dir)={1:x}\nSYMBOL(init_top_pgt)={1:x}\n"
      "SYMBOL(_stext)={2:x}\nKERNELOFFSET=0\nNUMBER(phys_base)=0\nNUMBER(pgtable_l5_enabled)={3}\n"
      "NUMBER(KERNEL_IMAGE_SIZE)=536870912\n",
      kernel.release, found.at("init_top_pgt"), found.at("_stext"), kernel.five_levels ? 1 : 0);
}

}  // namespace

Result<> add_vmcoreinfo(const fs::path& vmcore, const DumpedKernel& kernel) {
  const auto info = info_text(kernel);
  if (!info) return tl::make_unexpected(info.error());
  std::fstream file(vmcore, std::ios::binary | std::ios::in | std::ios::out);
  const auto magic = get<std::array<char, 8>>(file, 0);
  const auto version = get<std::int32_t>(file, kMagic.size());
  const std::streamoff sub_header = get<std::uint32_t>(file, kBlockSize);
  const auto offset = get<std::uint64_t>(file, sub_header + kNotes);
  const auto size = get<std::uint64_t>(file, sub_header + kNotes + 8);
  if (!file || std::string_view(magic.data(), magic.size()) != kMagic || version < 4 ||
      size > kMaxNotes) {
    return broken(fmt::format("'{}' is no kdump file with notes", vmcore.string()));
  }
  std::string notes(size, '\0');
  file.seekg(static_cast<std::streamoff>(offset));
  file.read(notes.data(), static_cast<std::streamsize>(size));
  for (const std::size_t word : {kNoteName.size(), info->size(), std::size_t{0}}) {
    notes += bytes_of(static_cast<std::uint32_t>(word));
  }
  notes += padded(kNoteName) + padded(*info);
  // Where they are there is no room for more.
  file.seekp(0, std::ios::end);
  const auto end = static_cast<std::uint64_t>(file.tellp());
  file.write(notes.data(), static_cast<std::streamsize>(notes.size()));
  put(file, sub_header + kNotes, bytes_of(end) + bytes_of(std::uint64_t{notes.size()}));
  std::streamoff at = kNames;
  for (const std::string& name :
       {std::string("Linux"), std::string("(none)"), kernel.release, std::string("#1"),
        std::string("x86_64"), std::string("(none)")}) {
    std::string field = name.substr(0, kNameBytes - 1);
    field.resize(kNameBytes, '\0');
    put(file, at, field);
    at += kNameBytes;
  }
  file.close();
  if (!file) return broken(fmt::format("cannot write '{}': is the disk full?", vmcore.string()));
  return {};
}

}  // namespace mmquake
