// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/kernel/packaged_kernel.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <ctime>
#include <nlohmann/json.hpp>
#include <optional>
#include <system_error>

#include "host/kernel/artifact.h"
#include "host/kernel/files.h"
#include "host/kernel/modules.h"

namespace mmquake::kernel {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kPrefix = "debian-image:";
constexpr std::int64_t kRememberedSeconds = 24L * 3600;
// The packages, and all that is in them, for the time of the unpacking.
constexpr std::uint64_t kUnpackMib = 1200;

// From 6.19 on linux-image-* is empty: the kernel is in linux-binary-*, its modules apart.
const std::vector<std::string>& parts_of_a_kernel() {
  static const std::vector<std::string> parts = {"linux-image-", "linux-binary-", "linux-modules-"};
  return parts;
}

std::string package_of(const KernelSpec& spec) {
  return spec.source.substr(kPrefix.size());
}

fs::path memory_of(const KernelSpec& spec, const fs::path& cache) {
  const std::string suite = spec.suite.empty() ? "" : "_" + spec.suite;
  return cache / "sources" / (package_of(spec) + suite + ".packages.json");
}

struct Remembered {
  std::vector<Package> packages;
  bool fresh = false;
};

std::optional<Remembered> recall(const fs::path& file) {
  const auto text = read_text(file);
  if (!text) return std::nullopt;
  const auto json = nlohmann::json::parse(*text, nullptr, false);
  if (!json.is_object() || !json.contains("packages") || !json["packages"].is_array()) {
    return std::nullopt;
  }
  Remembered out;
  for (const auto& one : json["packages"]) {
    if (!one.is_object()) return std::nullopt;
    out.packages.push_back({one.value("name", ""), one.value("version", "")});
  }
  const std::int64_t age = std::time(nullptr) - json.value("asked", std::int64_t{0});
  out.fresh = age >= 0 && age < kRememberedSeconds;
  if (out.packages.empty()) return std::nullopt;
  return out;
}

// Only a help: that it cannot be written is seen when the kernel is.
void remember(const fs::path& file, const std::vector<Package>& packages) {
  nlohmann::json list = nlohmann::json::array();
  for (const Package& one : packages) {
    list.push_back({{"name", one.name}, {"version", one.version}});
  }
  const nlohmann::json json = {{"asked", std::time(nullptr)}, {"packages", list}};
  (void)write_text(file, json.dump(2) + "\n").has_value();
}

struct KernelFiles {
  fs::path image;
  std::optional<fs::path> config;
  std::string release;
};

// boot/vmlinuz-RELEASE, or in newer packages usr/lib/modules/RELEASE/vmlinuz.
std::optional<KernelFiles> find_kernel(const fs::path& folder) {
  std::error_code error;
  for (fs::recursive_directory_iterator at(folder, error), end; !error && at != end;
       at.increment(error)) {
    std::error_code ignored;
    const std::string name = at->path().filename();
    if (!name.starts_with("vmlinuz") || !at->is_regular_file(ignored)) continue;
    const fs::path beside = at->path().parent_path();
    const bool in_boot = name.starts_with("vmlinuz-");
    KernelFiles files;
    files.image = at->path();
    files.release = in_boot ? name.substr(8) : beside.filename().string();
    const fs::path config = beside / (in_boot ? "config-" + files.release : "config");
    if (fs::is_regular_file(config, ignored)) files.config = config;
    return files;
  }
  return std::nullopt;
}

Result<> unpack(const std::vector<Package>& packages, const Apt& apt, const fs::path& scratch,
                Reporter& reporter) {
  if (auto room = need_space(scratch, kUnpackMib, "unpacking kernel packages"); !room) return room;
  for (const Package& one : packages) {
    auto file = apt.download(one, scratch / "packages", reporter);
    if (!file) return tl::make_unexpected(file.error());
    reporter.stage("unpack " + one.name);
    Command extract;
    extract.argv = {"dpkg-deb", "-x", file->string(), (scratch / "files").string()};
    auto extracted = reporter.output_of("dpkg-deb", extract);
    if (!extracted) return context("unpack " + one.name, extracted.error());
  }
  return {};
}

nlohmann::json describe(const KernelSpec& spec, const std::vector<Package>& packages,
                        const std::string& release) {
  const std::time_t now = std::time(nullptr);
  std::tm utc = {};
  gmtime_r(&now, &utc);
  return {{"name", spec.name},  {"key", key_of(packages)},
          {"release", release}, {"source", identity_of(packages)},
          {"packaged", true},   {"built_at", fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", utc)}};
}

}  // namespace

bool is_packaged(const KernelSpec& spec) {
  return spec.source.starts_with(kPrefix);
}

std::string identity_of(const std::vector<Package>& packages) {
  std::string out(kPrefix);
  for (const Package& one : packages) {
    if (out.size() > kPrefix.size()) out += ",";
    out += one.name + "=" + one.version;
  }
  return out;
}

std::string key_of(const std::vector<Package>& packages) {
  return hash_of("mmquake packaged kernel 3\n" + identity_of(packages));
}

Result<std::vector<Package>> resolve_packaged(const KernelSpec& spec, const fs::path& cache,
                                              Reporter& reporter) {
  const fs::path file = memory_of(spec, cache);
  const auto known = recall(file);
  if (known && known->fresh) return known->packages;
  const auto ask = [&]() -> Result<std::vector<Package>> {
    Apt apt(spec.suite, cache);
    if (auto lists = apt.refresh(reporter); !lists) return tl::make_unexpected(lists.error());
    reporter.stage("ask apt for", package_of(spec));
    return apt.closure(package_of(spec), parts_of_a_kernel(), reporter);
  };
  auto packages = ask();
  if (packages) {
    remember(file, *packages);
    return packages;
  }
  // Without a network the kernel that is in the cache will do.
  if (known) return known->packages;
  return packages;
}

Result<> obtain_packaged(const KernelSpec& spec, const std::vector<Package>& packages,
                         const fs::path& cache, const fs::path& dir, Reporter& reporter) {
  // Of this process alone: two that fetch the same kernel both succeed, and one rename wins.
  const fs::path scratch = dir.parent_path() / fmt::format(".{}.{}", key_of(packages), getpid());
  if (auto gone = reporter.remove(scratch); !gone) return gone;
  const auto fetch = [&]() -> Result<> {
    const fs::path out = scratch / "artifact";
    if (auto done = unpack(packages, Apt(spec.suite, cache), scratch, reporter); !done) return done;
    const auto kernel = find_kernel(scratch / "files");
    if (!kernel) {
      return usage(fmt::format("package '{}' leads to no file vmlinuz: {}", package_of(spec),
                               identity_of(packages)));
    }
    if (auto moved = move_to(kernel->image, out / "bzImage"); !moved) return moved;
    if (kernel->config) {
      if (auto moved = move_to(*kernel->config, out / "config"); !moved) return moved;
    }
    if (auto taken = take_modules(scratch / "files", kernel->release, out / "modules", reporter);
        !taken) {
      return taken;
    }
    const std::string text = describe(spec, packages, kernel->release).dump(2) + "\n";
    if (auto written = write_text(out / "artifact.json", text); !written) return written;
    if (read_artifact(dir)) return {};
    if (auto gone = remove_path(dir); !gone) return gone;
    return move_to(out, dir);
  };
  const auto fetched = fetch();
  const auto gone = reporter.remove(scratch);
  return fetched ? gone : fetched;
}

}  // namespace mmquake::kernel
