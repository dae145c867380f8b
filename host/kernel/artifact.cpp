// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/kernel/artifact.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <nlohmann/json.hpp>
#include <system_error>

#include "host/kernel/files.h"

namespace mmquake::kernel {
namespace fs = std::filesystem;
namespace {

constexpr std::array<const char*, 5> kFiles = {"bzImage", "vmlinux", "mmquake_widener.ko", "config",
                                               "artifact.json"};
// Of a kernel that its distribution built.
constexpr std::array<const char*, 2> kPackagedFiles = {"bzImage", "artifact.json"};

template <std::size_t N>
bool has_all(const fs::path& dir, const std::array<const char*, N>& files) {
  return std::all_of(files.begin(), files.end(), [&](const char* name) {
    std::error_code error;
    return fs::is_regular_file(dir / name, error);
  });
}

// The folder, with a lock that all its users share and gc wants alone; nothing when it is gone.
OwnedFd lock_folder(const fs::path& dir, int operation) {
  OwnedFd fd(open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  struct stat ours {};
  struct stat named {};
  if (!fd || flock(fd.get(), operation | LOCK_NB) != 0 || fstat(fd.get(), &ours) != 0 ||
      stat(dir.c_str(), &named) != 0 || ours.st_ino != named.st_ino) {
    return {};
  }
  return fd;
}

nlohmann::json describe(const KernelSpec& spec, const Inputs& inputs, const std::string& release) {
  nlohmann::json fragments = nlohmann::json::array();
  for (const Fragment& one : inputs.fragments) {
    fragments.push_back({{"file", one.file.string()}, {"hash", hash_of(one.text)}});
  }
  nlohmann::json patches = nlohmann::json::array();
  for (const Patch& one : inputs.patches) {
    patches.push_back({{"file", one.file.string()}, {"hash", hash_of(one.text)}});
  }
  std::time_t now = std::time(nullptr);
  std::tm utc = {};
  gmtime_r(&now, &utc);
  return {{"name", spec.name},           {"key", key_of(inputs)},
          {"release", release},          {"source", inputs.source->identity()},
          {"fragments", fragments},      {"patches", patches},
          {"compiler", inputs.compiler}, {"built_at", fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", utc)}};
}

Result<> run(std::string_view what, std::vector<std::string> words, Reporter& reporter) {
  Command command;
  command.argv = std::move(words);
  auto done = reporter.output_of(what, command);
  if (!done) return tl::make_unexpected(done.error());
  return {};
}

// So that a power cut after the rename leaves no empty file behind a name that says "whole".
Result<> sync_files(const fs::path& folder, Reporter& reporter) {
  std::vector<std::string> words = {"sync"};
  for (const char* name : kFiles) words.push_back((folder / name).string());
  return run("sync", words, reporter);
}

// Their names begin with their place in the order.
std::vector<fs::path> modules_in(const fs::path& folder) {
  std::vector<fs::path> out;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    out.push_back(at->path());
  }
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace

std::optional<KernelArtifact> read_artifact(const fs::path& dir) {
  OwnedFd lease = lock_folder(dir, LOCK_SH);
  if (!lease) return std::nullopt;
  const auto text = read_text(dir / "artifact.json");
  if (!text) return std::nullopt;
  const auto json = nlohmann::json::parse(*text, nullptr, false);
  if (!json.is_object()) return std::nullopt;
  const bool packaged = json.contains("packaged");
  if (!(packaged ? has_all(dir, kPackagedFiles) : has_all(dir, kFiles))) return std::nullopt;
  const auto field = [&](const char* name) {
    const auto found = json.find(name);
    return found != json.end() && found->is_string() ? found->get<std::string>() : "";
  };
  KernelArtifact artifact;
  artifact.name = field("name");
  artifact.key = dir.filename();
  artifact.dir = dir;
  artifact.bzimage = dir / "bzImage";
  if (packaged) {
    artifact.modules = modules_in(dir / "modules");
  } else {
    artifact.vmlinux = dir / "vmlinux";
    artifact.widener = dir / "mmquake_widener.ko";
  }
  artifact.release = field("release");
  artifact.source = field("source");
  artifact.built_at = field("built_at");
  artifact.lease = std::make_shared<const OwnedFd>(std::move(lease));
  return artifact;
}

Result<> finish_artifact(const KernelSpec& spec, const Inputs& inputs, const Kbuild& kbuild,
                         const fs::path& module, const fs::path& scratch, const fs::path& dir,
                         Reporter& reporter) {
  reporter.stage("put the kernel into the cache");
  auto release = kbuild.release();
  if (!release) return tl::make_unexpected(release.error());
  if (auto gone = remove_path(scratch); !gone) return gone;
  if (auto made = make_folder(scratch); !made) return made;
  const std::array<fs::path, 4> from = {kbuild.bzimage(), kbuild.vmlinux(),
                                        module / "mmquake_widener.ko", kbuild.config()};
  for (std::size_t i = 0; i < from.size(); ++i) {
    auto copied =
        run("cp",
            {"cp", "--reflink=auto", "--", from.at(i).string(), (scratch / kFiles.at(i)).string()},
            reporter);
    if (!copied) return copied;
  }
  const std::string text = describe(spec, inputs, *release)
                               .dump(2, ' ', false, nlohmann::json::error_handler_t::replace);
  if (auto written = write_text(scratch / "artifact.json", text + "\n"); !written) return written;
  if (auto synced = sync_files(scratch, reporter); !synced) return synced;
  // Somebody may have taken files out of the folder that is there; one that is whole is as good.
  if (read_artifact(dir)) return remove_path(scratch);
  if (auto gone = remove_path(dir); !gone) return gone;
  return move_to(scratch, dir);
}

Result<std::uint64_t> remove_artifact(const fs::path& dir) {
  const OwnedFd alone = lock_folder(dir, LOCK_EX);
  if (!alone) return 0;
  const std::uint64_t bytes = bytes_below(dir);
  // Not found any more from this moment on, however long the removal takes.
  const fs::path trash = dir.parent_path() / (".gone-" + dir.filename().string());
  if (auto gone = remove_path(trash); !gone) return tl::make_unexpected(gone.error());
  if (auto moved = move_to(dir, trash); !moved) return tl::make_unexpected(moved.error());
  if (auto gone = remove_path(trash); !gone) return tl::make_unexpected(gone.error());
  return bytes;
}

}  // namespace mmquake::kernel
