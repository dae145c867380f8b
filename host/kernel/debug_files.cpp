// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/kernel/debug_files.h"

#include <elfutils/libdw.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <gelf.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <set>
#include <system_error>
#include <vector>

#include "host/kernel/files.h"

namespace mmquake::kernel {
namespace fs = std::filesystem;
namespace {

// To be raised when the files are made in another way, or with other types.
constexpr int kDebugRecipe = 1;
constexpr const char* kScript = "vmlinux-gdb.py";

struct ElfEnd {
  void operator()(Elf* elf) const { elf_end(elf); }
};
struct DwarfEnd {
  void operator()(Dwarf* dwarf) const { dwarf_end(dwarf); }
};

struct ElfFile {
  OwnedFd fd;
  std::unique_ptr<Elf, ElfEnd> elf;
};

Result<ElfFile> open_elf(const fs::path& file) {
  ElfFile out;
  out.fd = OwnedFd(open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!out.fd) return broken(fmt::format("read '{}': {}", file.string(), std::strerror(errno)));
  elf_version(EV_CURRENT);
  out.elf.reset(elf_begin(out.fd.get(), ELF_C_READ_MMAP, nullptr));
  if (!out.elf || elf_kind(out.elf.get()) != ELF_K_ELF) {
    return broken(fmt::format("'{}' is no ELF file", file.string()));
  }
  return out;
}

Result<std::set<std::string>> debug_sections(const fs::path& file) {
  auto elf = open_elf(file);
  if (!elf) return tl::make_unexpected(elf.error());
  std::set<std::string> out;
  std::size_t names = 0;
  if (elf_getshdrstrndx(elf->elf.get(), &names) != 0) return out;
  Elf_Scn* at = nullptr;
  while ((at = elf_nextscn(elf->elf.get(), at)) != nullptr) {
    GElf_Shdr header;
    if (gelf_getshdr(at, &header) == nullptr) continue;
    const char* name = elf_strptr(elf->elf.get(), names, header.sh_name);
    if (name != nullptr && std::string_view(name).starts_with(".debug_")) out.insert(name);
  }
  return out;
}

// Relative paths, as line tables name them when the compiler was told to map its folders away.
std::set<std::string> source_files(Dwarf* dwarf) {
  std::set<std::string> out;
  Dwarf_CU* cu = nullptr;
  Dwarf_Die unit;
  while (dwarf_get_units(dwarf, cu, &cu, nullptr, nullptr, &unit, nullptr) == 0) {
    Dwarf_Files* files = nullptr;
    std::size_t count = 0;
    if (dwarf_getsrcfiles(&unit, &files, &count) != 0) continue;
    for (std::size_t i = 0; i < count; ++i) {
      const char* name = dwarf_filesrc(files, i, nullptr, nullptr);
      if (name == nullptr) continue;
      std::string path = fs::path(name).lexically_normal();
      if (!path.starts_with('/') && !path.starts_with("..")) out.insert(std::move(path));
    }
  }
  return out;
}

// Those files of vmlinux's line tables that `source` has: others are made by the build.
Result<> copy_sources(const fs::path& vmlinux, const fs::path& source, const fs::path& to,
                      Reporter& reporter) {
  auto elf = open_elf(vmlinux);
  if (!elf) return tl::make_unexpected(elf.error());
  const std::unique_ptr<Dwarf, DwarfEnd> dwarf(
      dwarf_begin_elf(elf->elf.get(), DWARF_C_READ, nullptr));
  if (!dwarf) {
    return broken(
        fmt::format("'{}' has no debug information ({}); put CONFIG_DEBUG_INFO into a "
                    "fragment of the kernel",
                    vmlinux.string(), dwarf_errmsg(-1)));
  }
  std::size_t done = 0;
  for (const std::string& file : source_files(dwarf.get())) {
    if (++done % 256 == 0 && reporter.tick()) return interrupted_error();
    std::error_code error;
    if (!fs::is_regular_file(source / file, error)) continue;
    if (auto copied = copy_to(source / file, to / file); !copied) return copied;
  }
  return {};
}

// The commands of binutils that put an object's debug information behind an executable's.
class DebugMerger {
 public:
  DebugMerger(fs::path scratch, Reporter& reporter)
      : scratch_(std::move(scratch)), reporter_(reporter) {}

  Result<> merge(const fs::path& vmlinux, const fs::path& types, const fs::path& to) {
    auto sections = debug_sections(vmlinux);
    if (!sections) return tl::make_unexpected(sections.error());
    if (auto dumped = dump(vmlinux, *sections, "old"); !dumped) return dumped;
    // The linker takes no executable, but an object whose sections are the executable's. They come
    // first, so what points into them stays right; what points into the others is moved.
    const fs::path none = scratch_ / "none.o";
    const fs::path old = scratch_ / "old.o";
    const fs::path both = scratch_ / "both";
    if (auto done = run({"gcc", "-c", "-x", "assembler", "/dev/null", "-o", none}); !done) {
      return done;
    }
    std::vector<std::string> words = {"objcopy"};
    for (const std::string& name : *sections) add(words, name, "old");
    words.insert(words.end(), {none, old});
    if (auto done = run(words); !done) return done;
    // Its code is of no interest, nor what that calls.
    auto linked = run({"ld", "--unresolved-symbols=ignore-all", "-e", "0", "-o", both, old, types});
    if (!linked) return linked;
    auto merged = debug_sections(both);
    if (!merged) return tl::make_unexpected(merged.error());
    if (auto dumped = dump(both, *merged, "new"); !dumped) return dumped;
    words = {"objcopy"};
    for (const std::string& name : *merged) {
      if (!sections->contains(name)) {
        add(words, name, "new");
        continue;
      }
      words.insert(words.end(), {"--update-section", in_file(name, "new")});
    }
    words.insert(words.end(), {vmlinux, to});
    return run(words);
  }

 private:
  // "NAME=FILE", for objcopy.
  std::string in_file(const std::string& name, const char* prefix) const {
    return fmt::format("{}={}{}", name, (scratch_ / prefix).string(), name);
  }

  Result<> run(std::vector<std::string> words) {
    const std::string name = words[0];
    Command command;
    command.argv = std::move(words);
    auto done = reporter_.output_of(name, command);
    if (!done) return tl::make_unexpected(done.error());
    return {};
  }

  Result<> dump(const fs::path& file, const std::set<std::string>& sections, const char* prefix) {
    std::vector<std::string> words = {"objcopy"};
    for (const std::string& name : sections) {
      words.insert(words.end(), {"--dump-section", in_file(name, prefix)});
    }
    words.insert(words.end(), {file, "/dev/null"});
    return run(words);
  }

  void add(std::vector<std::string>& words, const std::string& name, const char* prefix) const {
    words.insert(words.end(), {"--add-section", in_file(name, prefix), "--set-section-flags",
                               name + "=readonly,debug"});
  }

  fs::path scratch_;
  Reporter& reporter_;
};

// The build's scripts are links into the source tree, which will be another kernel's.
Result<> copy_scripts(const fs::path& script, const fs::path& to, Reporter& reporter) {
  if (auto made = make_folder(to / "scripts"); !made) return made;
  Command command;
  command.argv = {"cp", "-r", "--dereference", "--", script.string(), to.string()};
  if (auto done = reporter.output_of("cp", command); !done) {
    return tl::make_unexpected(done.error());
  }
  command.argv[4] = script.parent_path() / "scripts/gdb";
  command.argv[5] = to / "scripts";
  if (auto done = reporter.output_of("cp", command); !done) {
    return tl::make_unexpected(done.error());
  }
  // They refuse to work for a kernel that was configured without types, and here they have them.
  const fs::path constants = to / "scripts/gdb/linux/constants.py";
  auto text = read_text(constants);
  if (!text) return tl::make_unexpected(text.error());
  constexpr std::string_view kReduced = "LX_CONFIG_DEBUG_INFO_REDUCED = 1";
  if (const std::size_t at = text->find(kReduced); at != std::string::npos) {
    text->replace(at, kReduced.size(), "LX_CONFIG_DEBUG_INFO_REDUCED = 0");
  }
  return write_text(constants, *text);
}

}  // namespace

fs::path debug_folder(const fs::path& cache, const std::string& key) {
  return cache / "debug" / fmt::format("{}.{}", key, kDebugRecipe);
}

std::optional<KernelDebugFiles> read_debug_files(const fs::path& dir) {
  std::error_code error;
  if (!fs::exists(dir / "vmlinux", error) || !fs::exists(dir / "source", error)) {
    return std::nullopt;
  }
  KernelDebugFiles out{dir / "source", dir / "vmlinux", {}};
  if (fs::exists(dir / kScript, error)) out.gdb_script = dir / kScript;
  return out;
}

Result<std::vector<ModuleFile>> type_files(const fs::path& types, const fs::path& source) {
  auto text = read_text(types);
  if (!text) return tl::make_unexpected(text.error());
  auto pid = read_text(source / "include/linux/pid.h");
  if (!pid) return tl::make_unexpected(pid.error());
  // crash reads as much of a struct pid as sizeof says, and then takes the number of the first
  // namespace out of it, which is behind that since the array has no size any more.
  constexpr std::string_view kFlexible = "struct upid numbers[];";
  if (const std::size_t at = pid->find(kFlexible); at != std::string::npos) {
    pid->replace(at, kFlexible.size(), "struct upid numbers[1];");
  }
  return std::vector<ModuleFile>{{"types.c", *text}, {"pid.h", *pid}};
}

Result<> keep_debug_files(const DebugParts& parts, const fs::path& dir, Reporter& reporter) {
  reporter.stage("put together what a debugger needs");
  const fs::path next = dir.string() + ".new";
  const fs::path scratch = next / "scratch";
  if (auto gone = reporter.remove(next); !gone) return gone;
  if (auto made = make_folder(scratch); !made) return made;
  auto copied = copy_sources(parts.vmlinux, parts.source, next / "source", reporter);
  if (!copied) return copied;
  DebugMerger merger(scratch, reporter);
  if (auto merged = merger.merge(parts.vmlinux, parts.types, next / "vmlinux"); !merged) {
    return merged;
  }
  if (!parts.gdb_script.empty()) {
    if (auto scripts = copy_scripts(parts.gdb_script, next, reporter); !scripts) return scripts;
  }
  if (auto gone = reporter.remove(scratch); !gone) return gone;
  if (auto gone = reporter.remove(dir); !gone) return gone;
  return move_to(next, dir);
}

}  // namespace mmquake::kernel
