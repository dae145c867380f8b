// SPDX-License-Identifier: GPL-2.0-or-later
//
// A directory of the user's. Its identity is that of its content: a file that was touched, or
// changed and changed back, leads to the artifact that is already there. Hashes are remembered by
// size, times and inode, so that only what was written since is read again.
//
// Which files count: in a git work tree those that git tracks or would (no build products);
// elsewhere all that do not look like products of kbuild. Debian's sources ignore everything
// (`/*` in .gitignore), so git cannot be asked about directories that are not work trees.
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <ctime>
#include <system_error>

#include "host/kernel/files.h"
#include "host/kernel/source.h"

namespace mmquake::kernel {
namespace fs = std::filesystem;
namespace {

// What a file's content is trusted to depend on.
struct Stamp {
  std::int64_t size = 0;
  std::int64_t mtime = 0;  // ns
  std::int64_t ctime = 0;  // ns; catches writers that put the mtime back
  std::uint64_t inode = 0;
  bool operator==(const Stamp&) const = default;
};

struct Known {
  Stamp stamp;
  std::string identity;  // "x <hash>": executable, "- <hash>" not, "l <hash>" a symbolic link
};

using Scan = std::map<std::string, Known>;

constexpr std::int64_t kSecond = 1'000'000'000;

std::int64_t to_ns(const timespec& time) {
  return time.tv_sec * kSecond + time.tv_nsec;
}

Stamp stamp_of(const struct stat& info) {
  return {info.st_size, to_ns(info.st_mtim), to_ns(info.st_ctim), info.st_ino};
}

std::string scan_text(const Scan& scan, std::int64_t trusted_before) {
  std::string text;
  for (const auto& [path, known] : scan) {
    const Stamp& stamp = known.stamp;
    // Written within the clock's grain of the scan: a later write might leave the same times.
    if (stamp.ctime >= trusted_before || stamp.mtime >= trusted_before) continue;
    text += fmt::format("{} {} {} {} {} {}", stamp.size, stamp.mtime, stamp.ctime, stamp.inode,
                        known.identity, path);
    text += '\0';
  }
  return text;
}

// Takes the number before the next space off the front.
template <typename T>
bool take(std::string_view& text, T& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc() || end == text.data() + text.size() || *end != ' ') return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()) + 1);
  return true;
}

Scan parse_scan(std::string_view text) {
  constexpr std::size_t kIdentitySize = 2 + 32;
  Scan scan;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\0'), text.size());
    std::string_view entry = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    Known known;
    if (take(entry, known.stamp.size) && take(entry, known.stamp.mtime) &&
        take(entry, known.stamp.ctime) && take(entry, known.stamp.inode) &&
        entry.size() > kIdentitySize + 1) {
      known.identity = entry.substr(0, kIdentitySize);
      scan[std::string(entry.substr(kIdentitySize + 1))] = known;
    }
  }
  return scan;
}

Result<std::string> identity_of(const fs::path& file, const struct stat& info) {
  auto hash = hash_file(file);
  if (!hash) return hash;
  const char kind = S_ISLNK(info.st_mode) ? 'l' : (info.st_mode & S_IXUSR) != 0 ? 'x' : '-';
  return fmt::format("{} {}", kind, *hash);
}

bool ends_with_any(std::string_view name, std::initializer_list<std::string_view> ends) {
  return std::any_of(ends.begin(), ends.end(),
                     [&](std::string_view end) { return name.ends_with(end); });
}

// Products of an earlier build in the directory: kbuild must not find them in a source tree.
bool is_product(const fs::path& relative, const fs::path& root) {
  const std::string name = relative.filename();
  const std::string path = relative.string();
  if (ends_with_any(
          name, {".o", ".ko", ".a", ".cmd", ".mod", ".mod.c", ".order", ".symvers", ".so", ".dbg",
                 ".lex.c", ".tab.c", ".tab.h", ".asn1.c", ".asn1.h", ".orig", ".rej", "~"})) {
    return true;
  }
  if (name == ".config" || name == ".config.old" || name.starts_with(".tmp_")) return true;
  for (const char* one :
       {"vmlinux", "System.map", "modules.builtin", "modules.builtin.modinfo", ".version",
        "lib/crc32table.h", "lib/crc64table.h", "arch/x86/lib/inat-tables.c",
        "arch/x86/boot/cpustr.h", "arch/x86/boot/voffset.h", "arch/x86/boot/zoffset.h"}) {
    if (path == one) return true;
  }
  // Whatever kbuild makes with if_changed has its command beside it.
  std::error_code error;
  return fs::exists(root / relative.parent_path() / ("." + name + ".cmd"), error);
}

bool is_product_folder(const std::string& relative) {
  return relative == "include/config" || relative == "include/generated" ||
         (relative.starts_with("arch/") && relative.ends_with("/include/generated")) ||
         relative == ".git" || relative == ".tmp_versions";
}

Result<std::vector<std::string>> walk(const fs::path& root, Reporter& reporter) {
  std::vector<std::string> out;
  std::error_code error;
  fs::recursive_directory_iterator at(root, error);
  for (const fs::recursive_directory_iterator end; !error && at != end; at.increment(error)) {
    if (out.size() % 512 == 0 && reporter.tick()) return interrupted_error();
    const fs::path relative = at->path().lexically_relative(root);
    std::error_code ignored;
    const fs::file_status status = at->symlink_status(ignored);
    if (fs::is_directory(status)) {
      if (is_product_folder(relative.string())) at.disable_recursion_pending();
    } else if (fs::is_symlink(status) || fs::is_regular_file(status)) {
      if (!is_product(relative, root)) out.push_back(relative.string());
    }
  }
  if (error) {
    return broken(fmt::format("read the directory '{}': {}", root.string(), error.message()));
  }
  return out;
}

// The files that count, by relative path.
Result<std::vector<std::string>> files_in(const fs::path& root, const fs::path& scratch,
                                          Reporter& reporter) {
  auto top = reporter.output_of("git", git_command(root, {"rev-parse", "--show-toplevel"}));
  if (!top && reporter.tick()) return interrupted_error();
  std::error_code error;
  const bool work_tree = top && fs::equivalent(last_line(*top), root, error);
  if (!work_tree) return walk(root, reporter);
  auto listed = entries_of(
      "git ls-files",
      git_command(root, {"ls-files", "-z", "--cached", "--others", "--exclude-standard"}), scratch,
      reporter);
  if (!listed) return listed;
  // Unmerged files are listed once for each side.
  std::sort(listed->begin(), listed->end());
  listed->erase(std::unique(listed->begin(), listed->end()), listed->end());
  return listed;
}

class DirectorySource final : public Source {
 public:
  DirectorySource(fs::path root, Manifest manifest)
      : root_(std::move(root)), manifest_(std::move(manifest)) {
    std::string all;
    for (const auto& [path, identity] : manifest_) all += fmt::format("{} {}\n", identity, path);
    identity_ = "dir:" + hash_of(all);
  }

  std::string identity() const override { return identity_; }
  std::string title() const override { return root_.string(); }
  std::string tree() const override { return tree_name("dir", root_); }
  const Manifest* manifest() const override { return &manifest_; }

  Result<> fetch(const std::vector<std::string>& paths, const fs::path& into,
                 Reporter& reporter) override {
    std::size_t done = 0;
    for (const std::string& path : paths) {
      if (++done % 64 == 0) {
        reporter.update(path, static_cast<double>(done) / static_cast<double>(paths.size()));
        if (reporter.tick()) return interrupted_error();
      }
      if (auto copied = copy_to(root_ / path, into / path); !copied) return copied;
      struct stat info {};
      lstat((into / path).c_str(), &info);
      auto identity = identity_of(into / path, info);
      if (!identity) return tl::make_unexpected(identity.error());
      if (*identity != manifest_.at(path)) {
        return broken(
            fmt::format("{} changed while it was read; run the command again when "
                        "nothing writes there",
                        (root_ / path).string()));
      }
    }
    return {};
  }

 private:
  fs::path root_;
  Manifest manifest_;
  std::string identity_;
};

Result<Scan> scan_files(const fs::path& root, const std::vector<std::string>& files,
                        const Scan& before, Reporter& reporter) {
  Scan scan;
  std::size_t done = 0;
  for (const std::string& path : files) {
    if (++done % 64 == 0) {
      reporter.update("", static_cast<double>(done) / static_cast<double>(files.size()));
      if (reporter.tick()) return interrupted_error();
    }
    struct stat info {};
    // Deleted, but git still tracks it; or a nested repository.
    if (lstat((root / path).c_str(), &info) != 0) continue;
    if (!S_ISREG(info.st_mode) && !S_ISLNK(info.st_mode)) continue;
    const Stamp stamp = stamp_of(info);
    const auto known = before.find(path);
    if (known != before.end() && known->second.stamp == stamp) {
      scan[path] = known->second;
      continue;
    }
    auto identity = identity_of(root / path, info);
    if (!identity) return tl::make_unexpected(identity.error());
    scan[path] = {stamp, *identity};
  }
  return scan;
}

}  // namespace

Result<std::unique_ptr<Source>> open_directory(const fs::path& path, const fs::path& cache,
                                               Reporter& reporter) {
  std::error_code error;
  if (!fs::is_directory(path, error)) {
    return usage(fmt::format("kernel source dir:{}: there is no such directory", path.string()));
  }
  if (!fs::is_regular_file(path / "Makefile", error) ||
      !fs::is_regular_file(path / "Kconfig", error)) {
    return usage(
        fmt::format("kernel source dir:{}: this is no kernel source: it has no Makefile "
                    "and Kconfig",
                    path.string()));
  }
  reporter.stage("look at " + path.string());
  const std::string tree = tree_name("dir", path);
  const fs::path remembered = cache / "sources" / (tree + ".scan");
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  auto files =
      files_in(path, cache / "sources" / fmt::format("{}.list-{}", tree, getpid()), reporter);
  if (!files) return tl::make_unexpected(files.error());
  const auto text = read_text(remembered);
  const Scan before = text ? parse_scan(*text) : Scan();
  auto scan = scan_files(path, *files, before, reporter);
  if (!scan) return tl::make_unexpected(scan.error());
  // Only a help: that it cannot be written is seen when the build is.
  (void)write_text(remembered, scan_text(*scan, to_ns(now) - 2 * kSecond)).has_value();
  Manifest manifest;
  for (const auto& [file, known] : *scan) manifest[file] = known.identity;
  return std::make_unique<DirectorySource>(path, std::move(manifest));
}

}  // namespace mmquake::kernel
