// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/image/payload.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <system_error>
#include <vector>

#include "host/image/program_files.h"
#include "host/process/process.h"

namespace mmquake {
namespace {

namespace fs = std::filesystem;

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
  const auto loader = loader_of(file);
  if (!loader) return tl::make_unexpected(loader.error());
  if (loader->empty()) return {};
  return usage(fmt::format(
      "'{}' needs shared libraries, and the guest has none: link it with -static", file.string()));
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
