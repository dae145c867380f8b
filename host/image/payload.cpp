// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/image/payload.h"

#include <elf.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <system_error>
#include <vector>

#include "host/process/process.h"

namespace mmquake {
namespace {

namespace fs = std::filesystem;

template <typename T>
bool read_at(std::ifstream& in, std::uint64_t offset, T& out) {
  in.clear();
  in.seekg(static_cast<std::streamoff>(offset));
  in.read(reinterpret_cast<char*>(&out), sizeof(out));
  return in.gcount() == sizeof(out);
}

bool is_cpp(const fs::path& file) {
  constexpr std::array<const char*, 4> kEndings{".cc", ".cpp", ".cxx", ".C"};
  return std::find(kEndings.begin(), kEndings.end(), file.extension().string()) != kEndings.end();
}

// -w: it is not ours to mend. Threads and the rest of a reproducer's usual needs are in libc.
std::vector<std::string> compile_command(const fs::path& file, const fs::path& out) {
  std::vector<std::string> argv = {is_cpp(file) ? "c++" : "cc"};
  for (const char* flag : {"-O2", "-g", "-w", "-static", "-pthread", "-D_GNU_SOURCE"}) {
    argv.emplace_back(flag);
  }
  argv.insert(argv.end(), {"-o", out.string(), file.string()});
  return argv;
}

Result<fs::path> compile(const fs::path& file, const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) return broken(fmt::format("cannot make '{}': {}", folder.string(), error.message()));
  const fs::path out = folder / (file.stem().string() + ".static");
  const auto done = run_command({compile_command(file, out), {}, {}});
  if (!done) {
    return context("compile '" + file.string() + "' (apt install gcc g++ libc6-dev)", done.error());
  }
  if (done->exit_code != 0) {
    return usage(fmt::format("'{}' does not compile:\n{}", file.string(), done->output_tail));
  }
  return out;
}

Result<fs::path> static_busybox() {
  for (const char* path : {"/bin/busybox", "/usr/bin/busybox"}) {
    if (fs::exists(path) && check_static_program(path)) return fs::path(path);
  }
  return broken(
      "a script needs a shell without shared libraries: looked for /bin/busybox and "
      "/usr/bin/busybox (apt install busybox-static)");
}

}  // namespace

std::string to_string(PayloadSource::Kind kind) {
  switch (kind) {
    case PayloadSource::Kind::kC:
      return "c";
    case PayloadSource::Kind::kBinary:
      return "binary";
    case PayloadSource::Kind::kScript:
      return "script";
  }
  return "?";
}

Result<> check_static_program(const fs::path& file) {
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
    if (segment.p_type == PT_INTERP) {
      return usage(
          fmt::format("'{}' needs shared libraries, and the guest has none: link it with -static",
                      file.string()));
    }
  }
  return {};
}

Result<Payload> prepare_payload(const PayloadSource& source, const fs::path& folder) {
  std::error_code error;
  if (!fs::is_regular_file(source.file, error)) {
    return usage(fmt::format("--{} '{}' is no file", to_string(source.kind), source.file.string()));
  }
  switch (source.kind) {
    case PayloadSource::Kind::kC: {
      auto program = compile(source.file, folder);
      if (!program) return tl::make_unexpected(program.error());
      return Payload{*program, std::nullopt};
    }
    case PayloadSource::Kind::kBinary: {
      if (auto fine = check_static_program(source.file); !fine) {
        return tl::make_unexpected(fine.error());
      }
      return Payload{source.file, std::nullopt};
    }
    case PayloadSource::Kind::kScript: {
      auto busybox = static_busybox();
      if (!busybox) return tl::make_unexpected(busybox.error());
      return Payload{source.file, *busybox};
    }
  }
  return broken("an unknown kind of program");
}

}  // namespace mmquake
