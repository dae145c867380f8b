// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include <algorithm>
#include <system_error>

#include "host/plan/nearest.h"
#include "host/plan/plan.h"
#include "host/plan/specs.h"

namespace mmquake {
namespace fs = std::filesystem;
namespace {

std::vector<std::string> names_in(const fs::path& dir) {
  std::vector<std::string> out;
  std::error_code error;
  for (fs::directory_iterator at(dir, error), end; !error && at != end; at.increment(error)) {
    std::error_code ignored;  // then it is no file
    if (at->path().extension() == ".toml" && at->is_regular_file(ignored)) {
      out.push_back(at->path().stem().string());
    }
  }
  std::sort(out.begin(), out.end());
  return out;
}

// The file of `name`: in `dir`, or `name` itself when it is a path.
Result<fs::path> locate(const fs::path& dir, std::string_view kind, const std::string& name) {
  std::error_code error;
  const fs::path given = name;
  if (name.find('/') != std::string::npos || given.extension() == ".toml") {
    if (fs::is_regular_file(given, error)) return fs::absolute(given, error);
    return usage(fmt::format("{} '{}': there is no such file", kind, printable(name)));
  }
  const fs::path file = dir / (name + ".toml");
  if (!name.empty() && fs::is_regular_file(file, error)) return file;
  if (!fs::is_directory(dir, error)) {
    return usage(
        fmt::format("{} '{}': there is no folder {}; set MMQUAKE_DATA to the folder that "
                    "holds configs/",
                    kind, printable(name), printable(dir.string())));
  }
  return tl::make_unexpected(unknown_name(kind, name, names_in(dir)));
}

}  // namespace

std::vector<std::string> Catalogue::kernel_names() const {
  return names_in(root_ / "kernels");
}
std::vector<std::string> Catalogue::machine_names() const {
  return names_in(root_ / "machines");
}
std::vector<std::string> Catalogue::case_names() const {
  return names_in(root_ / "cases");
}
std::vector<std::string> Catalogue::campaign_names() const {
  return names_in(root_ / "campaigns");
}

Result<fs::path> Catalogue::campaign_file(const std::string& name) const {
  return locate(root_ / "campaigns", "campaign", name);
}

Result<KernelSpec> Catalogue::kernel(const std::string& name) const {
  const std::string prefix = name.substr(0, 4);
  if (prefix == "dir:" || prefix == "git:") return kernel_from_source(root_, name);
  auto file = locate(root_ / "kernels", "kernel", name);
  if (!file) return tl::make_unexpected(file.error());
  return read_kernel_spec(root_, *file);
}

Result<MachineSpec> Catalogue::machine(const std::string& name) const {
  auto file = locate(root_ / "machines", "machine", name);
  if (!file) return tl::make_unexpected(file.error());
  return read_machine_spec(*file);
}

Result<CaseSpec> Catalogue::find_case(const std::string& name) const {
  auto file = locate(root_ / "cases", "case", name);
  if (!file) return tl::make_unexpected(file.error());
  auto spec = read_case_spec(*file);
  if (!spec) return spec;
  const auto at = [&](std::string_view section, std::string_view key, const std::string& what) {
    return tl::make_unexpected(error_at(*file, section, key, what));
  };
  if (auto found = machine(spec->machine); !found) {
    return at("", "machine", "cannot be used: " + found.error().message);
  }
  if (auto found = kernel(spec->clean_kernel); !found) {
    return at("clean", "kernel", "cannot be used: " + found.error().message);
  }
  auto bug = kernel(spec->bug_kernel);
  if (!bug) return at("bug", "kernel", "cannot be used: " + bug.error().message);
  for (const std::string& one : spec->bugs) {
    if (std::find(bug->bugs.begin(), bug->bugs.end(), one) != bug->bugs.end()) continue;
    return at("bug", "switches",
              fmt::format("names '{}', which kernel '{}' does not have{}", one, bug->name,
                          suggestion(one, bug->bugs)));
  }
  return spec;
}

}  // namespace mmquake
