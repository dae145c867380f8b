// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include <sstream>
#include <system_error>

#include "host/plan/config_file.h"
#include "host/plan/nearest.h"
#include "host/plan/specs.h"

namespace mmquake {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kSourceForms =
    "must be 'debian:PACKAGE', 'debian-image:PACKAGE', 'dir:/PATH' or 'git:/PATH@REV'";

bool starts_with(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

bool all_of(std::string_view text, std::string_view allowed) {
  return text.find_first_not_of(allowed) == std::string_view::npos;
}

constexpr std::string_view kPackageLetters = "abcdefghijklmnopqrstuvwxyz0123456789+-.";
constexpr std::string_view kImage = "debian-image:";
constexpr std::string_view kSwitchLetters = "abcdefghijklmnopqrstuvwxyz0123456789-";

// The two halves of "git:PATH@REV" without its prefix. A path may hold an '@', a revision may not.
std::pair<std::string, std::string> split_git(std::string_view text) {
  const std::size_t at = text.rfind('@');
  if (at == std::string_view::npos) return {std::string(text), ""};
  return {std::string(text.substr(0, at)), std::string(text.substr(at + 1))};
}

// What is wrong with `source`; empty when nothing.
std::string source_error(std::string_view source) {
  if (starts_with(source, "debian:") || starts_with(source, kImage)) {
    const std::string_view package = source.substr(source.find(':') + 1);
    if (package.size() < 2 || !all_of(package, kPackageLetters)) {
      return fmt::format("names no Debian package: '{}'", source);
    }
    return "";
  }
  if (starts_with(source, "dir:")) {
    return starts_with(source, "dir:/") ? "" : "needs an absolute path: 'dir:/PATH'";
  }
  if (starts_with(source, "git:")) {
    const auto [path, revision] = split_git(source.substr(4));
    if (!starts_with(path, "/")) return "needs an absolute path: 'git:/PATH@REV'";
    if (revision.empty()) return "needs a revision: 'git:/PATH@REV'";
    // git would take it for an option.
    if (revision[0] == '-') return fmt::format("has no valid revision: '{}'", revision);
    return "";
  }
  return fmt::format("is '{}'; it {}", source, kSourceForms);
}

// The files that `key` names, each of which must exist.
std::vector<fs::path> files(ConfigTable& table, std::string_view key, const fs::path& base,
                            const fs::path& beside) {
  std::vector<fs::path> out;
  const std::vector<std::string> names = table.names(key);
  for (std::size_t i = 0; i < names.size(); ++i) {
    const bool local = starts_with(names[i], "./") || starts_with(names[i], "../");
    std::error_code error;
    const fs::path path =
        fs::absolute((local ? beside : base) / names[i], error).lexically_normal();
    if (!fs::is_regular_file(path, error)) {
      table.complain_element(key, i,
                             fmt::format("names a file that does not exist: {}", path.string()));
    }
    out.push_back(path);
  }
  return out;
}

void check_switches(ConfigTable& table, const KernelSpec& spec) {
  for (std::size_t i = 0; i < spec.bugs.size(); ++i) {
    if (all_of(spec.bugs[i], kSwitchLetters)) continue;
    table.complain_element(
        "bugs", i, fmt::format("holds '{}'; a switch has a-z, 0-9 and '-' only", spec.bugs[i]));
  }
  if (!spec.bugs.empty() && spec.patches.empty()) {
    table.complain("bugs", "names switches, but no patch could bring them: 'patches' is empty");
  }
}

// What goes into a build, or that nothing may where nothing is built.
void read_recipe(ConfigTable& table, const fs::path& root, const fs::path& file, KernelSpec& spec) {
  if (starts_with(spec.source, kImage)) {
    for (const char* key : {"fragments", "patches", "bugs"}) {
      if (table.has(key)) {
        table.complain(key, "has no meaning here: a kernel out of a package is not built");
      }
    }
    if (table.has("suite")) spec.suite = table.text("suite");
    if (!all_of(spec.suite, kPackageLetters)) {
      table.complain("suite", fmt::format("names no release: '{}'", spec.suite));
    }
    return;
  }
  if (table.has("suite")) table.complain("suite", "has a meaning for debian-image: only");
  if (!table.has("fragments")) table.complain("fragments", "is missing");
  spec.fragments = files(table, "fragments", root / "fragments", file.parent_path());
  if (spec.fragments.empty()) table.complain("fragments", "must name at least one file");
  spec.patches = files(table, "patches", root / "../images/patches", file.parent_path());
  spec.bugs = table.names("bugs");
  check_switches(table, spec);
}

}  // namespace

Result<KernelSpec> read_kernel_spec(const fs::path& root, const fs::path& file) {
  auto config = ConfigFile::read(file);
  if (!config) return tl::make_unexpected(config.error());
  ConfigTable table = (*config)->root();
  table.allow({"summary", "source", "fragments", "patches", "boot_args", "bugs", "suite"});
  KernelSpec spec;
  spec.name = file.stem().string();
  spec.summary = table.text("summary");
  spec.source = table.text("source");
  if (const std::string error = source_error(spec.source); !error.empty()) {
    table.complain("source", error);
  }
  read_recipe(table, root, file, spec);
  spec.boot_args = read_boot_args(table);
  if (auto fine = (*config)->result(); !fine) return tl::make_unexpected(fine.error());
  return spec;
}

std::string kernel_spec_text(const KernelSpec& spec, const fs::path& folder) {
  const auto name_of = [&](const fs::path& file) {
    const fs::path below = file.lexically_relative(folder);
    const bool is_below = !below.empty() && *below.begin() != "..";
    return is_below ? "./" + below.string() : file.string();
  };
  const auto list = [](const std::vector<std::string>& texts) {
    toml::array out;
    for (const std::string& text : texts) out.push_back(text);
    return out;
  };
  const auto files = [&](const std::vector<fs::path>& paths) {
    toml::array out;
    for (const fs::path& path : paths) out.push_back(name_of(path));
    return out;
  };
  toml::table table;
  table.insert("summary", spec.summary);
  table.insert("source", spec.source);
  table.insert("fragments", files(spec.fragments));
  if (!spec.patches.empty()) table.insert("patches", files(spec.patches));
  if (!spec.boot_args.empty()) table.insert("boot_args", list(spec.boot_args));
  if (!spec.bugs.empty()) table.insert("bugs", list(spec.bugs));
  std::ostringstream out;
  out << table << '\n';
  return out.str();
}

Result<KernelSpec> kernel_from_source(const fs::path& root, const std::string& source) {
  const std::string named = "kernel '" + printable(source) + "'";
  const bool git = starts_with(source, "git:");
  std::string given = source.substr(4);
  std::string revision;
  if (git) {
    const auto halves = split_git(given);
    given = halves.first;
    revision = "@" + halves.second;
  }
  if (given.empty()) {
    return usage(fmt::format("{} has no path: it {}", named, kSourceForms));
  }
  std::error_code error;
  const fs::path path = fs::absolute(given, error).lexically_normal();
  KernelSpec spec;
  spec.name = git ? "git" : "dir";
  spec.source = source.substr(0, 4) + path.string() + revision;
  if (const std::string wrong = source_error(spec.source); !wrong.empty()) {
    return usage(fmt::format("{} {}", named, printable(wrong)));
  }
  if (!fs::is_directory(path, error)) {
    return usage(fmt::format("{}: there is no directory {}", named, printable(path.string())));
  }
  const fs::path fragment = root / "fragments/base.config";
  if (!fs::is_regular_file(fragment, error)) {
    return broken(fmt::format("{} is missing; set MMQUAKE_DATA to the folder that holds configs/",
                              fragment.string()));
  }
  spec.summary = "given on the command line";
  spec.fragments = {fragment};
  return spec;
}

}  // namespace mmquake
