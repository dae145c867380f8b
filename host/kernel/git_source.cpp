// SPDX-License-Identifier: GPL-2.0-or-later
//
// A revision of a git repository. Its files are read from the objects, so neither the work tree
// nor the index of the repository plays a part, and none is needed.
#include <fmt/format.h>

#include <system_error>

#include "host/kernel/files.h"
#include "host/kernel/source.h"

namespace mmquake::kernel {
namespace fs = std::filesystem;
namespace {

class GitSource final : public Source {
 public:
  GitSource(fs::path path, std::string revision, std::string commit, Manifest manifest)
      : path_(std::move(path)),
        revision_(std::move(revision)),
        commit_(std::move(commit)),
        manifest_(std::move(manifest)) {}

  std::string identity() const override { return "git:" + commit_; }
  std::string title() const override {
    return fmt::format("{} {} ({})", path_.filename().string(), revision_, commit_.substr(0, 12));
  }
  std::string tree() const override { return tree_name("git", path_); }
  const Manifest* manifest() const override { return &manifest_; }

  Result<> fetch(const std::vector<std::string>& paths, const fs::path& into,
                 Reporter& reporter) override {
    const fs::path index = into.string() + ".index";
    const fs::path list = into.string() + ".list";
    auto done = check_out(paths, into, index, list, reporter);
    std::error_code ignored;  // scratch
    fs::remove(index, ignored);
    fs::remove(list, ignored);
    return done;
  }

 private:
  Result<> check_out(const std::vector<std::string>& paths, const fs::path& into,
                     const fs::path& index, const fs::path& list, Reporter& reporter) const {
    std::string names;
    for (const std::string& path : paths) names += path + '\0';
    if (auto written = write_text(list, names); !written) return written;
    auto read =
        reporter.output_of("git read-tree", git_command(path_, {"read-tree", commit_}, index));
    if (!read) return tl::make_unexpected(read.error());
    Command command = git_command(
        path_, {"--work-tree=" + into.string(), "checkout-index", "-f", "-z", "--stdin"}, index);
    command.argv.insert(command.argv.begin(), {"sh", "-c", "exec \"$@\" < \"$0\"", list.string()});
    auto put = reporter.output_of("git checkout-index", command);
    if (!put) return tl::make_unexpected(put.error());
    return {};
  }

  fs::path path_;
  std::string revision_;
  std::string commit_;
  Manifest manifest_;
};

// "100644 blob SHA\tPATH" of ls-tree.
void add_entry(const std::string& entry, Manifest& manifest) {
  const std::size_t tab = entry.find('\t');
  const std::size_t type = entry.find(' ');
  if (tab == std::string::npos || type == std::string::npos) return;
  // A submodule's content is not in this repository.
  if (entry.compare(type + 1, 6, "commit") == 0) return;
  manifest[entry.substr(tab + 1)] = entry.substr(0, tab);
}

}  // namespace

Result<std::unique_ptr<Source>> open_git(const fs::path& path, const std::string& revision,
                                         const fs::path& cache, Reporter& reporter) {
  const std::string where = fmt::format("git:{}@{}", path.string(), revision);
  auto commit = reporter.output_of(
      "git rev-parse", git_command(path, {"rev-parse", "--verify", "--quiet", "--end-of-options",
                                          revision + "^{commit}"}));
  if (!commit) {
    auto inside = reporter.output_of("git", git_command(path, {"rev-parse", "--git-dir"}));
    if (!inside) return context(where, inside.error());
    return usage(
        fmt::format("{}: that repository has no revision '{}'; fetch it, or see "
                    "`git -C {} log --oneline`",
                    where, revision, path.string()));
  }
  const std::string id = last_line(*commit);
  const fs::path scratch =
      cache / "sources" / fmt::format("{}.list-{}", tree_name("git", path), getpid());
  auto entries =
      entries_of("git ls-tree", git_command(path, {"ls-tree", "-r", "-z", id}), scratch, reporter);
  if (!entries) return context(where, entries.error());
  Manifest manifest;
  for (const std::string& entry : *entries) add_entry(entry, manifest);
  return std::make_unique<GitSource>(path, revision, id, std::move(manifest));
}

}  // namespace mmquake::kernel
