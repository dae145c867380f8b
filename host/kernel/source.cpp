// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/kernel/source.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <system_error>

#include "host/kernel/files.h"

namespace mmquake::kernel {
namespace fs = std::filesystem;
namespace {

// The parts of "KIND:PATH[@REV]"; only git has a revision.
struct Parts {
  std::string kind;
  std::string path;
  std::string revision;
};

Parts split(const std::string& source) {
  Parts parts;
  const std::size_t colon = source.find(':');
  if (colon == std::string::npos) return parts;
  parts.kind = source.substr(0, colon);
  parts.path = source.substr(colon + 1);
  const std::size_t at = parts.kind == "git" ? parts.path.rfind('@') : std::string::npos;
  if (at != std::string::npos) {
    parts.revision = parts.path.substr(at + 1);
    parts.path.resize(at);
  }
  if (parts.kind == "debian") return parts;
  // "/src/linux/" is "/src/linux".
  fs::path path = fs::path(parts.path).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  parts.path = path.string();
  return parts;
}

}  // namespace

Result<std::unique_ptr<Source>> open_source(const std::string& source, const fs::path& cache,
                                            Reporter& reporter) {
  const Parts parts = split(source);
  if (parts.kind == "debian") return open_debian(parts.path, cache, reporter);
  if (parts.kind == "dir") return open_directory(parts.path, cache, reporter);
  if (parts.kind == "git") return open_git(parts.path, parts.revision, cache, reporter);
  return usage(fmt::format(
      "kernel source '{}' must be 'debian:PACKAGE', 'debian-image:PACKAGE', 'dir:/PATH' or "
      "'git:/PATH@REV'",
      source));
}

bool is_tree_of(const std::string& source, const std::string& tree) {
  const Parts parts = split(source);
  // A package's name holds no '_'.
  if (parts.kind == "debian") return tree.starts_with(parts.path + "_");
  return tree == tree_name(parts.kind, parts.path);
}

fs::path tree_folder(const fs::path& cache, const std::string& tree) {
  return cache / "trees" / tree;
}

std::string tree_name(const std::string& kind, const fs::path& path) {
  std::string name = path.filename().string();
  for (char& c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '-' && c != '.') c = '-';
  }
  return fmt::format("{}-{}-{}", kind, name, hash_of(path.string()).substr(0, 8));
}

Command git_command(const fs::path& path, const std::vector<std::string>& words,
                    const fs::path& index) {
  Command command;
  command.argv = {"env"};
  for (const char* name : {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX",
                           "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_NAMESPACE"}) {
    command.argv.insert(command.argv.end(), {"-u", name});
  }
  if (!index.empty()) command.argv.push_back("GIT_INDEX_FILE=" + index.string());
  // Someone else's repository is as good as someone else's directory: we are told to build what
  // is in it.
  command.argv.insert(
      command.argv.end(),
      {"git", "-C", path.string(), "-c", "safe.directory=*", "-c", "core.fsmonitor=false", "-c",
       "core.hooksPath=/dev/null", "-c", "core.autocrlf=false"});
  command.argv.insert(command.argv.end(), words.begin(), words.end());
  command.environment["GIT_OPTIONAL_LOCKS"] = "0";
  return command;
}

Result<std::vector<std::string>> entries_of(std::string_view name, const Command& command,
                                            const fs::path& scratch, Reporter& reporter) {
  if (auto made = make_folder(scratch.parent_path()); !made) {
    return tl::make_unexpected(made.error());
  }
  Command redirected = command;
  // run_command keeps the end of the output only, and this one is long.
  redirected.argv.insert(redirected.argv.begin(),
                         {"sh", "-c", "exec \"$@\" > \"$0\"", scratch.string()});
  auto done = reporter.output_of(name, redirected);
  auto text = read_text(scratch);
  std::error_code ignored;  // it has done its work
  fs::remove(scratch, ignored);
  if (!done) return tl::make_unexpected(done.error());
  if (!text) return tl::make_unexpected(text.error());
  std::vector<std::string> out;
  for (std::size_t at = 0; at < text->size();) {
    const std::size_t end = std::min(text->find('\0', at), text->size());
    out.push_back(text->substr(at, end - at));
    at = end + 1;
  }
  return out;
}

}  // namespace mmquake::kernel
