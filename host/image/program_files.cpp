// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/image/program_files.h"

#include <elf.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <fstream>

#include "host/image/payload.h"

namespace mmquake {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kLongestPath = 4096;

template <typename T>
bool read_at(std::ifstream& in, std::uint64_t offset, T& out) {
  in.clear();
  in.seekg(static_cast<std::streamoff>(offset));
  in.read(reinterpret_cast<char*>(&out), sizeof(out));
  return in.gcount() == sizeof(out);
}

}  // namespace

Result<std::string> loader_of(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  Elf64_Ehdr header{};
  if (!in) return usage(fmt::format("cannot read '{}'", file.string()));
  if (!read_at(in, 0, header) || std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
      header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_machine != EM_X86_64) {
    return usage(fmt::format("'{}' is no program for x86_64", file.string()));
  }
  for (unsigned i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment{};
    if (!read_at(in, header.e_phoff + std::uint64_t{i} * header.e_phentsize, segment)) {
      return usage(fmt::format("'{}' is cut off", file.string()));
    }
    if (segment.p_type != PT_INTERP) continue;
    std::string path(std::min<std::size_t>(segment.p_filesz, kLongestPath), '\0');
    in.clear();
    in.seekg(static_cast<std::streamoff>(segment.p_offset));
    in.read(path.data(), static_cast<std::streamsize>(path.size()));
    path.resize(std::strlen(path.c_str()));
    if (!in || path.empty()) return usage(fmt::format("'{}' is cut off", file.string()));
    return path;
  }
  return std::string();
}

Result<fs::path> static_busybox() {
  for (const char* path : {"/bin/busybox", "/usr/bin/busybox"}) {
    if (fs::exists(path) && check_static_program(path)) return fs::path(path);
  }
  return broken(
      "a script needs a shell without shared libraries: looked for /bin/busybox and "
      "/usr/bin/busybox (apt install busybox-static)");
}

}  // namespace mmquake
