// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/kernel/apt.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <sstream>
#include <system_error>

#include "host/kernel/files.h"

namespace mmquake::kernel {
namespace fs = std::filesystem;
namespace {

constexpr std::chrono::hours kListsLast{24};
constexpr std::uint64_t kListsMib = 300;

bool is_fresh(const fs::path& file) {
  std::error_code error;
  const auto written = fs::last_write_time(file, error);
  return !error && fs::file_time_type::clock::now() - written < kListsLast;
}

}  // namespace

std::string as_root(const std::string& command) {
  return geteuid() == 0 ? command : "sudo " + command;
}

std::string candidate_in(const std::string& policy) {
  std::istringstream lines(policy);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t at = line.find("Candidate: ");
    if (at == std::string::npos) continue;
    const std::string version = line.substr(at + 11);
    return version == "(none)" ? "" : version;
  }
  return "";
}

std::vector<std::string> dependencies_in(const std::string& text,
                                         const std::vector<std::string>& prefixes) {
  std::vector<std::string> out;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t at = line.find("Depends: ");
    if (at == std::string::npos) continue;
    const std::string name = line.substr(at + 9);
    const bool wanted = std::any_of(prefixes.begin(), prefixes.end(),
                                    [&](const auto& prefix) { return name.starts_with(prefix); });
    if (wanted && std::find(out.begin(), out.end(), name) == out.end()) out.push_back(name);
  }
  return out;
}

std::vector<std::string> Apt::with_options(const std::string& tool,
                                           const std::vector<std::string>& words) const {
  std::vector<std::string> out = {tool, "-q"};
  if (!suite_.empty()) {
    for (const std::string& option :
         {"Dir::Etc::sourcelist=" + (root() / "sources.list").string(),
          std::string("Dir::Etc::sourceparts=/dev/null"),
          std::string("Dir::Etc::preferences=/dev/null"),
          std::string("Dir::Etc::preferencesparts=/dev/null"),
          "Dir::State=" + (root() / "state").string(), std::string("Dir::State::status=/dev/null"),
          "Dir::Cache=" + (root() / "cache").string(), std::string("Acquire::Languages=none")}) {
      out.insert(out.end(), {"-o", option});
    }
  }
  // Root would become _apt, who may not write here.
  out.insert(out.end(), {"-o", "APT::Sandbox::User=root"});
  out.insert(out.end(), words.begin(), words.end());
  return out;
}

Result<std::string> Apt::archive_uri(Reporter& reporter) const {
  // The main archive is the one whose suite has no part after a '-' ("bookworm-security").
  Command command;
  command.argv = {"apt-get", "indextargets", "--format", "$(RELEASE) $(REPO_URI)",
                  "Created-By: Packages"};
  auto targets = reporter.output_of("apt-get indextargets", command);
  if (!targets) return tl::make_unexpected(targets.error());
  std::istringstream lines(*targets);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t space = line.find(' ');
    if (space == std::string::npos || space == 0) continue;
    if (line.find('-') < space) continue;
    return line.substr(space + 1);
  }
  return broken(
      "apt's sources name no Debian archive (apt-get indextargets): add one to "
      "/etc/apt/sources.list");
}

Result<> Apt::refresh(Reporter& reporter) {
  const fs::path stamp = root() / "updated";
  if (suite_.empty() || is_fresh(stamp)) return {};
  reporter.stage("ask the archive for " + suite_);
  auto uri = archive_uri(reporter);
  if (!uri) return tl::make_unexpected(uri.error());
  for (const char* folder : {"state/lists/partial", "cache/archives/partial"}) {
    if (auto made = make_folder(root() / folder); !made) return made;
  }
  if (auto room = need_space(root(), kListsMib, "apt's lists of " + suite_); !room) return room;
  if (auto written =
          write_text(root() / "sources.list", fmt::format("deb {} {} main\n", *uri, suite_));
      !written) {
    return written;
  }
  Command update;
  update.argv = with_options("apt-get", {"update"});
  std::string complaint;
  auto done = reporter.run(update, [&](std::string_view line) {
    if (line.starts_with("E: ") && complaint.empty()) complaint = line.substr(3);
  });
  if (!done) return tl::make_unexpected(done.error());
  if (done->exit_code == 0) return write_text(stamp, "");
  std::error_code error;
  if (fs::exists(stamp, error)) return {};  // a lab without a network goes on with what it has
  return broken(fmt::format("apt-get update for {}: {}; check the network", suite_,
                            complaint.empty() ? last_line(done->output_tail) : complaint));
}

Result<std::vector<Package>> Apt::closure(const std::string& name,
                                          const std::vector<std::string>& prefixes,
                                          Reporter& reporter) const {
  std::vector<Package> out;
  std::vector<std::string> names = {name};
  for (std::size_t i = 0; i < names.size(); ++i) {
    Command policy;
    policy.argv = with_options("apt-cache", {"policy", names[i]});
    auto answer = reporter.output_of("apt-cache", policy);
    if (!answer) return tl::make_unexpected(answer.error());
    const std::string version = candidate_in(*answer);
    if (version.empty()) {
      return usage(fmt::format("apt has no package '{}'{}; {}", names[i],
                               suite_.empty() ? "" : fmt::format(" in {}", suite_),
                               suite_.empty()
                                   ? "if its lists are old, run: " + as_root("apt-get update")
                                   : "look for its name at packages.debian.org"));
    }
    out.push_back({names[i], version});
    Command depends;
    depends.argv = with_options("apt-cache", {"depends", names[i]});
    auto text = reporter.output_of("apt-cache", depends);
    if (!text) return tl::make_unexpected(text.error());
    for (const std::string& one : dependencies_in(*text, prefixes)) {
      if (std::find(names.begin(), names.end(), one) == names.end()) names.push_back(one);
    }
  }
  return out;
}

Result<fs::path> Apt::download(const Package& package, const fs::path& folder,
                               Reporter& reporter) const {
  reporter.stage("download " + package.name + " " + package.version);
  if (auto made = make_folder(folder); !made) return tl::make_unexpected(made.error());
  Command command;
  command.argv = with_options("apt-get", {"download", package.name + "=" + package.version});
  command.directory = folder;
  std::string complaint;
  auto done = reporter.run(command, [&](std::string_view line) {
    if (line.starts_with("E: ") && complaint.empty()) complaint = line.substr(3);
  });
  if (!done) return tl::make_unexpected(done.error());
  if (done->exit_code != 0) {
    return broken(fmt::format("download {} {}: apt-get: {}; check the network", package.name,
                              package.version,
                              complaint.empty() ? last_line(done->output_tail) : complaint));
  }
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    const std::string file = at->path().filename();
    if (file.starts_with(package.name + "_") && file.ends_with(".deb")) return at->path();
  }
  return broken("apt-get download " + package.name + " left no .deb file");
}

}  // namespace mmquake::kernel
