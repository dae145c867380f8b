// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/kernel/toolchain.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <cstdlib>
#include <sstream>
#include <string_view>
#include <vector>

#include "host/kernel/reporter.h"

namespace mmquake::kernel {
namespace {

constexpr std::string_view kMend = "run: make deps (mmquake doctor shows all that is missing)";

Result<bool> has_libelf(Reporter& reporter) {
  // objtool, which every x86 kernel needs, is built with it.
  Command command;
  command.argv = {"sh", "-c", "echo '#include <libelf.h>' | gcc -fsyntax-only -x c -"};
  auto done = reporter.run(command);
  if (!done) return tl::make_unexpected(done.error());
  return done->exit_code == 0;
}

}  // namespace

bool is_in_path(const std::string& program) {
  const char* path = std::getenv("PATH");
  std::istringstream folders(path == nullptr ? "" : path);
  for (std::string folder; std::getline(folders, folder, ':');) {
    const std::filesystem::path file = std::filesystem::path(folder) / program;
    if (access(file.c_str(), X_OK) == 0) return true;
  }
  return false;
}

Result<std::string> compiler_identity(Reporter& reporter) {
  if (!is_in_path("gcc")) return broken(fmt::format("there is no gcc; {}", kMend));
  Command command;
  command.argv = {"sh", "-c", "gcc --version && gcc -dumpmachine"};
  auto printed = reporter.output_of("gcc", command);
  if (!printed) return printed;
  return printed->substr(0, printed->find('\n')) + " " + last_line(*printed);
}

Result<> check_tools(const std::string& source, bool patches, Reporter& reporter) {
  std::vector<std::string> tools = {"gcc", "ld", "make", "flex", "bison", "bc"};
  if (patches) tools.emplace_back("patch");
  if (source.starts_with("debian:")) {
    tools.insert(tools.end(), {"apt-get", "dpkg-deb", "tar", "xz"});
  } else {
    tools.emplace_back("git");
  }
  std::vector<std::string> missing;
  for (const std::string& tool : tools) {
    if (!is_in_path(tool)) missing.push_back(tool);
  }
  if (missing.empty()) {
    auto libelf = has_libelf(reporter);
    if (!libelf) return tl::make_unexpected(libelf.error());
    if (!*libelf) missing.emplace_back("libelf.h (libelf-dev)");
  }
  if (missing.empty()) return {};
  return broken(fmt::format("a kernel build needs {}, which this host does not have; {}",
                            fmt::join(missing, ", "), kMend));
}

}  // namespace mmquake::kernel
