// SPDX-License-Identifier: GPL-2.0-or-later
#include <algorithm>
#include <set>
#include <system_error>

#include "host/kernel/artifact.h"
#include "host/kernel/build_tree.h"
#include "host/kernel/files.h"
#include "host/kernel/inputs.h"
#include "host/kernel/kernel_store.h"
#include "host/kernel/packaged_kernel.h"
#include "host/kernel/tree_lock.h"

namespace mmquake {
namespace fs = std::filesystem;
using namespace kernel;  // NOLINT(google-build-using-namespace): see kernel_store.cpp

namespace {

// What the specs to keep would use.
struct Needed {
  std::set<std::string> keys;
  std::set<std::string> trees;
  std::set<std::string> outputs;  // names of kbuild's folders
  // Specs of which that cannot be told now (no network, a syntax error): all that may be theirs
  // stays.
  std::vector<KernelSpec> unknown;
};

Needed what_is_needed(const std::vector<KernelSpec>& keep, const fs::path& cache,
                      Reporter& reporter) {
  Needed needed;
  for (const KernelSpec& spec : keep) {
    if (is_packaged(spec)) {
      const auto packages = resolve_packaged(spec, cache, reporter);
      if (packages) {
        needed.keys.insert(key_of(*packages));
      } else {
        needed.unknown.push_back(spec);
      }
      continue;
    }
    auto inputs = read_inputs(spec, cache, data_dir() / "guest/widener", reporter);
    if (!inputs) {
      needed.unknown.push_back(spec);
      continue;
    }
    needed.keys.insert(key_of(*inputs));
    needed.trees.insert(inputs->source->tree());
    needed.outputs.insert(build_folder_name(inputs->compiler));
  }
  return needed;
}

bool is_needed(const Needed& needed, const KernelArtifact& artifact) {
  return needed.keys.contains(artifact.key) ||
         std::any_of(needed.unknown.begin(), needed.unknown.end(),
                     [&](const KernelSpec& spec) { return spec.name == artifact.name; });
}

// Folders below `folder`, hidden ones too.
std::vector<fs::path> folders_in(const fs::path& folder) {
  std::vector<fs::path> out;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    std::error_code ignored;
    if (fs::is_directory(at->symlink_status(ignored))) out.push_back(at->path());
  }
  return out;
}

Result<std::uint64_t> remove_counted(const fs::path& path, Reporter& reporter) {
  reporter.stage("remove", path.string());
  const std::uint64_t bytes = bytes_below(path);
  if (auto gone = reporter.remove(path); !gone) return tl::make_unexpected(gone.error());
  return bytes;
}

Result<std::uint64_t> clean_artifacts(const fs::path& kernels, const Needed& needed,
                                      Reporter& reporter) {
  std::uint64_t freed = 0;
  for (const fs::path& dir : folders_in(kernels)) {
    // A lease of our own would keep it.
    const auto is_kept = [&] {
      const auto artifact = read_artifact(dir);
      return artifact && is_needed(needed, *artifact);
    };
    const bool half_gone = dir.filename().string().starts_with('.');
    if (!half_gone && is_kept()) continue;
    auto bytes = half_gone ? remove_counted(dir, reporter) : remove_artifact(dir);
    if (!bytes) return bytes;
    freed += *bytes;
  }
  return freed;
}

// What debuggers needed of kernels that are gone. Who uses it holds a lease of its kernel.
Result<std::uint64_t> clean_debug_files(const fs::path& cache, Reporter& reporter) {
  std::uint64_t freed = 0;
  for (const fs::path& dir : folders_in(cache / "debug")) {
    std::error_code error;
    // KEY.RECIPE
    if (fs::exists(cache / "kernels" / dir.filename().stem(), error)) continue;
    auto bytes = remove_counted(dir, reporter);
    if (!bytes) return bytes;
    freed += *bytes;
  }
  return freed;
}

// What a tree that stays does not need: scratch of killed builds, output for other compilers.
Result<std::uint64_t> clean_tree(const fs::path& tree, const Needed& needed, Reporter& reporter) {
  std::uint64_t freed = 0;
  std::error_code error;
  std::vector<fs::path> scratch;
  for (fs::directory_iterator at(tree, error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename();
    const bool other_output = name.starts_with("build-") &&
                              std::none_of(needed.outputs.begin(), needed.outputs.end(),
                                           [&](const auto& one) { return name.starts_with(one); });
    if (name.find(".new") != std::string::npos || name.starts_with("patched") || other_output) {
      scratch.push_back(at->path());
    }
  }
  for (const fs::path& path : scratch) {
    auto bytes = remove_counted(path, reporter);
    if (!bytes) return bytes;
    freed += *bytes;
  }
  return freed;
}

Result<std::uint64_t> clean_one_tree(const fs::path& tree, const Needed& needed,
                                     Reporter& reporter) {
  const fs::path lock_file = tree.string() + ".lock";
  auto lock = TreeLock::try_now(lock_file);
  if (!lock) return tl::make_unexpected(lock.error());
  if (!*lock) return 0;  // a build is at work in it
  if (auto ended = end_leftovers(tree, reporter); !ended) {
    return tl::make_unexpected(ended.error());
  }
  const std::string name = tree.filename();
  const bool theirs =
      std::any_of(needed.unknown.begin(), needed.unknown.end(),
                  [&](const KernelSpec& spec) { return is_tree_of(spec.source, name); });
  std::error_code error;
  const bool whole = fs::is_directory(tree / "source", error);
  if (whole && (theirs || needed.trees.contains(name))) return clean_tree(tree, needed, reporter);
  auto freed = remove_counted(tree, reporter);
  if (freed) std::move(**lock).retire(lock_file);
  return freed;
}

}  // namespace

Result<std::uint64_t> KernelStore::gc(const std::vector<KernelSpec>& keep,
                                      const ProgressSink& progress,
                                      const std::function<bool()>& should_stop) {
  Reporter reporter(progress, should_stop);
  reporter.stage("look for what no kernel uses");
  const Needed needed = what_is_needed(keep, cache_, reporter);
  auto freed = clean_artifacts(cache_ / "kernels", needed, reporter);
  if (!freed) return freed;
  auto debug = clean_debug_files(cache_, reporter);
  if (!debug) return debug;
  *freed += *debug;
  for (const fs::path& tree : folders_in(cache_ / "trees")) {
    auto bytes = clean_one_tree(tree, needed, reporter);
    if (!bytes) return bytes;
    *freed += *bytes;
  }
  return freed;
}

}  // namespace mmquake
