// SPDX-License-Identifier: GPL-2.0-or-later
//
// A Debian source package: apt names and verifies it, and nothing is installed.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <ctime>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <system_error>

#include "host/kernel/apt.h"
#include "host/kernel/files.h"
#include "host/kernel/source.h"
#include "host/plan/nearest.h"

namespace mmquake::kernel {
namespace fs = std::filesystem;
namespace {

// The package, the archive in it, and what is unpacked, at the time when all three are there.
constexpr std::uint64_t kUnpackMib = 1900;
// How long a version stands in for a newer one that could not be downloaded.
constexpr std::int64_t kStandInSeconds = 24L * 3600;

// Changes whenever apt's answer can: its lists, sources and preferences were written.
std::string apt_fingerprint() {
  std::string text;
  for (const char* path :
       {"/var/lib/apt/lists", "/etc/apt", "/etc/apt/sources.list", "/etc/apt/sources.list.d",
        "/etc/apt/preferences", "/etc/apt/preferences.d", "/etc/apt/apt.conf.d"}) {
    struct stat info {};
    if (stat(path, &info) != 0) continue;
    text += fmt::format("{} {}.{:09}\n", path, info.st_mtim.tv_sec, info.st_mtim.tv_nsec);
  }
  return hash_of(text);
}

// Asking apt takes most of a second, and the answer changes a few times a month.
class RememberedVersion {
 public:
  RememberedVersion(const fs::path& cache, const std::string& package)
      : file_(cache / "sources" / (package + ".json")) {}

  std::optional<std::string> get() const {
    const auto text = read_text(file_);
    if (!text) return std::nullopt;
    const auto json = nlohmann::json::parse(*text, nullptr, false);
    if (!json.is_object() || json.value("apt", "") != apt_fingerprint()) return std::nullopt;
    const std::int64_t until = json.value("until", std::int64_t{0});
    if (until != 0 && std::time(nullptr) > until) return std::nullopt;
    const std::string version = json.value("version", "");
    return version.empty() ? std::nullopt : std::optional(version);
  }

  // Only a help: that it cannot be written is seen when the build is.
  void set(const std::string& version, std::int64_t until = 0) const {
    const nlohmann::json json = {
        {"version", version}, {"apt", apt_fingerprint()}, {"until", until}};
    (void)write_text(file_, json.dump(2) + "\n").has_value();
  }

 private:
  fs::path file_;
};

// Versions of the package that are unpacked in the cache, the newest last.
std::vector<std::string> unpacked(const fs::path& cache, const std::string& package) {
  std::vector<std::string> out;
  std::error_code error;
  for (fs::directory_iterator at(cache / "trees", error), end; !error && at != end;
       at.increment(error)) {
    const std::string name = at->path().filename();
    std::error_code ignored;
    if (name.starts_with(package + "_") && fs::is_directory(at->path() / "source", ignored)) {
      out.push_back(name.substr(package.size() + 1));
    }
  }
  std::sort(out.begin(), out.end(), [](const std::string& a, const std::string& b) {
    return strverscmp(a.c_str(), b.c_str()) < 0;
  });
  return out;
}

Error no_candidate(const std::string& package, Reporter& reporter) {
  Command search;
  search.argv = {"apt-cache", "search", "--names-only", "^linux-source-"};
  std::vector<std::string> known;
  if (auto found = reporter.output_of("apt-cache", search)) {
    std::istringstream lines(*found);
    for (std::string line; std::getline(lines, line);) {
      const std::string name = line.substr(0, line.find(' '));
      if (name.starts_with("linux-source-")) known.push_back(name);
    }
  }
  if (known.empty()) {
    return {ErrorKind::kBroken,
            fmt::format("apt has no source package '{}', nor any linux-source-*: its lists are "
                        "missing or hold no Debian archive; run: {}",
                        package, as_root("apt-get update"))};
  }
  std::sort(known.begin(), known.end());
  return {ErrorKind::kUsage,
          fmt::format("apt has no source package '{}' (apt-cache policy {}: no candidate); it "
                      "has: {}; if its lists are old, run: {}",
                      package, package, fmt::join(known, ", "), as_root("apt-get update"))};
}

class DebianSource final : public Source {
 public:
  DebianSource(std::string package, std::string version, fs::path cache)
      : package_(std::move(package)), version_(std::move(version)), cache_(std::move(cache)) {}

  std::string identity() const override { return fmt::format("debian:{}={}", package_, version_); }
  std::string title() const override { return package_ + " " + version_; }
  std::string tree() const override { return package_ + "_" + version_; }
  const Manifest* manifest() const override { return nullptr; }

  Result<> fetch(const std::vector<std::string>& paths, const fs::path& into,
                 Reporter& reporter) override;

 private:
  Result<> download(const fs::path& folder, Reporter& reporter) const;
  Result<> unpack_archive(const fs::path& archive, const fs::path& into, Reporter& reporter) const;

  std::string package_;
  std::string version_;
  fs::path cache_;
};

// apt's "dlstatus:1:42.5:Retrieving file 1 of 1" as 0.425.
std::optional<double> download_fraction(std::string_view line) {
  if (!line.starts_with("dlstatus:")) return std::nullopt;
  const std::size_t from = line.find(':', 9);
  if (from == std::string_view::npos) return std::nullopt;
  double percent = 0;
  const char* start = line.data() + from + 1;
  const auto parsed = std::from_chars(start, line.data() + line.size(), percent);
  if (parsed.ec != std::errc() || percent < 0 || percent > 100) return std::nullopt;
  return percent / 100;
}

Result<> DebianSource::download(const fs::path& folder, Reporter& reporter) const {
  reporter.stage("download " + title());
  Command command;
  command.argv = {"apt-get", "-q", "-o", "APT::Status-Fd=1",
                  // Root would become _apt, who may not write here.
                  "-o", "APT::Sandbox::User=root", "download", package_ + "=" + version_};
  command.directory = folder;
  std::string complaint;
  auto done = reporter.run(command, [&](std::string_view line) {
    if (const auto fraction = download_fraction(line)) reporter.update("", *fraction);
    if (line.starts_with("E: ") && complaint.empty()) complaint = line.substr(3);
  });
  if (!done) return tl::make_unexpected(done.error());
  if (done->exit_code == 0) return {};
  const auto older = unpacked(cache_, package_);
  if (!older.empty()) {
    // A lab without a network goes on with what it has; the next start finds this answer.
    RememberedVersion(cache_, package_).set(older.back(), std::time(nullptr) + kStandInSeconds);
  }
  return broken(fmt::format(
      "download {}: apt-get: {}; {}", title(),
      complaint.empty() ? last_line(done->output_tail) : complaint,
      older.empty() ? "check the network, or run: " + as_root("apt-get update")
                    : fmt::format("run the command again to use {} from the cache", older.back())));
}

Result<> DebianSource::unpack_archive(const fs::path& archive, const fs::path& into,
                                      Reporter& reporter) const {
  Command command;
  command.argv = {"tar", "-xf", archive.string(), "-C", into.string(), "--strip-components=1",
                  "--no-same-owner", "--no-same-permissions",
                  // A line for each 20 MiB.
                  "--checkpoint=2000", "--checkpoint-action=echo=%u"};
  auto done = reporter.run(command, [&](std::string_view line) {
    // "tar: 4000", in records of 10 KiB.
    std::uint64_t records = 0;
    const std::size_t digits = line.find_last_not_of("0123456789") + 1;
    const char* start = line.data() + digits;
    if (std::from_chars(start, line.data() + line.size(), records).ec == std::errc()) {
      reporter.update(fmt::format("{} MiB", records / 100));
    }
  });
  if (!done) return tl::make_unexpected(done.error());
  if (done->exit_code == 0) return {};
  if (done->output_tail.find("No space left") != std::string::npos) {
    if (auto room = need_space(into, kUnpackMib, "unpacking " + title()); !room) return room;
  }
  return broken(fmt::format("unpack {}: tar: {}", title(), last_line(done->output_tail)));
}

// The first file below `folder` whose name holds `part`.
std::optional<fs::path> find_file(const fs::path& folder, std::string_view part) {
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    if (at->path().filename().string().find(part) != std::string::npos) return at->path();
  }
  return std::nullopt;
}

Result<> DebianSource::fetch(const std::vector<std::string>& /*paths*/, const fs::path& into,
                             Reporter& reporter) {
  const fs::path scratch = into.string() + ".package";
  if (auto gone = reporter.remove(scratch); !gone) return gone;
  if (auto made = make_folder(scratch); !made) return made;
  if (auto room = need_space(scratch, kUnpackMib, "unpacking " + title()); !room) return room;
  if (auto got = download(scratch, reporter); !got) return got;
  const auto package = find_file(scratch, ".deb");
  if (!package) return broken("apt-get download " + package_ + " left no .deb file");
  reporter.stage("unpack " + title());
  Command extract;
  extract.argv = {"dpkg-deb", "-x", package->string(), (scratch / "files").string()};
  auto extracted = reporter.output_of("dpkg-deb", extract);
  if (!extracted) return context("unpack " + title(), extracted.error());
  const auto archive = find_file(scratch / "files/usr/src", ".tar.");
  if (!archive) {
    return usage(
        fmt::format("package '{}' {} holds no usr/src/*.tar.*: name the package with the "
                    "version in its name, as linux-source-6.1",
                    package_, version_));
  }
  if (auto done = unpack_archive(*archive, into, reporter); !done) return done;
  return reporter.remove(scratch);
}

}  // namespace

Result<std::unique_ptr<Source>> open_debian(const std::string& package, const fs::path& cache,
                                            Reporter& reporter) {
  const RememberedVersion remembered(cache, package);
  if (auto version = remembered.get()) {
    return std::make_unique<DebianSource>(package, *version, cache);
  }
  reporter.stage("ask apt for", package);
  Command policy;
  policy.argv = {"apt-cache", "policy", package};
  auto answer = reporter.output_of("apt-cache", policy);
  std::string version = answer ? candidate_in(*answer) : "";
  if (!version.empty()) {
    remembered.set(version);
  } else if (const auto have = unpacked(cache, package); !have.empty()) {
    version = have.back();
  } else if (!answer) {
    return context(fmt::format("look for the package '{}'", package), answer.error());
  } else {
    return tl::make_unexpected(no_candidate(package, reporter));
  }
  return std::make_unique<DebianSource>(package, version, cache);
}

}  // namespace mmquake::kernel
