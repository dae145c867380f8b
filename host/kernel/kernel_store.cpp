// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/kernel/kernel_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <system_error>
#include <utility>

#include "host/kernel/artifact.h"
#include "host/kernel/build_tree.h"
#include "host/kernel/debug_files.h"
#include "host/kernel/files.h"
#include "host/kernel/inputs.h"
#include "host/kernel/kbuild.h"
#include "host/kernel/packaged_kernel.h"
#include "host/kernel/reporter.h"
#include "host/kernel/toolchain.h"

namespace mmquake {
namespace fs = std::filesystem;
using namespace kernel;  // NOLINT(google-build-using-namespace): this is its front

namespace {

// What kbuild and the artifact take: measured with base.config, and some to spare.
constexpr std::uint64_t kFirstBuildMib = 900;
constexpr std::uint64_t kNextBuildMib = 300;
constexpr std::uint64_t kDebugMib = 500;  // for a debugger

fs::path widener_source() {
  return data_dir() / "guest/widener";
}

fs::path artifact_folder(const fs::path& cache, const Inputs& inputs) {
  return cache / "kernels" / key_of(inputs);
}

// What a person types to mean this kernel.
std::string name_for_commands(const KernelSpec& spec) {
  // Given as "dir:PATH" or "git:PATH@REV", and in no file.
  return spec.source.starts_with(spec.name + ":") ? spec.source : spec.name;
}

std::optional<KernelArtifact> built(const fs::path& cache, const KernelSpec& spec,
                                    const Inputs& inputs) {
  auto artifact = read_artifact(artifact_folder(cache, inputs));
  // Another spec with the same inputs may have built it.
  if (artifact) artifact->name = spec.name;
  return artifact;
}

fs::path build_log(const BuildTree& tree) {
  return tree.folder() / "build.log";
}

Result<> set_sources(Inputs& inputs, BuildTree& tree, Reporter& reporter) {
  if (auto filled = tree.fill(*inputs.source, reporter); !filled) return filled;
  return tree.set_patches(inputs.patches, reporter);
}

// Runs `make` on kbuild in the tree's folder `output`.
Result<> build_in(const fs::path& cache, BuildTree& tree, const fs::path& output,
                  Reporter& reporter, const std::function<Result<>(Kbuild&)>& make) {
  const fs::path log = build_log(tree);
  if (auto fresh = remove_path(log); !fresh) return fresh;
  Kbuild kbuild({.source = tree.source(), .output = output, .ccache = cache / "ccache", .log = log},
                reporter);
  if (auto noted = tree.build_begins(); !noted) return noted;
  auto made = make(kbuild);
  // Objects of a build that was stopped are looked at by the next.
  if (made || !reporter.tick()) {
    if (auto noted = tree.build_ended(); !noted) return noted;
  }
  return made;
}

Result<> build(const fs::path& cache, const KernelSpec& spec, Inputs& inputs, BuildTree& tree,
               Reporter& reporter) {
  // There is one if and only if make was run.
  if (auto fresh = remove_path(build_log(tree)); !fresh) return fresh;
  if (auto set = set_sources(inputs, tree, reporter); !set) return set;
  const fs::path output = tree.folder() / build_folder_name(inputs.compiler);
  std::error_code error;
  const bool first = !fs::exists(output, error);
  if (auto room =
          need_space(tree.folder(), first ? kFirstBuildMib : kNextBuildMib, "building the kernel");
      !room) {
    return room;
  }
  const fs::path module = tree.folder() / "widener";
  return build_in(cache, tree, output, reporter, [&](Kbuild& kbuild) -> Result<> {
    if (auto done = kbuild.configure(inputs.fragments); !done) return done;
    if (auto done = kbuild.compile(); !done) return done;
    if (auto done = kbuild.module(inputs.widener, module); !done) return done;
    return finish_artifact(spec, inputs, kbuild, module, tree.folder() / "artifact.new",
                           artifact_folder(cache, inputs), reporter);
  });
}

Result<> make_debug_files(const fs::path& cache, const KernelArtifact& artifact, Inputs& inputs,
                          BuildTree& tree, Reporter& reporter) {
  if (auto set = set_sources(inputs, tree, reporter); !set) return set;
  if (auto room = need_space(tree.folder(), kDebugMib, "files for a debugger"); !room) return room;
  auto types = type_files(data_dir() / "images/debug/types.c", tree.source());
  if (!types) return tl::make_unexpected(types.error());
  DebugParts parts;
  parts.vmlinux = artifact.vmlinux;
  parts.source = tree.source();
  // In a folder of its own, so that what is built in the other stays as it is.
  const fs::path output = tree.folder() / (build_folder_name(inputs.compiler) + "-debug");
  auto made = build_in(cache, tree, output, reporter, [&](Kbuild& kbuild) -> Result<> {
    if (auto done = kbuild.configure(inputs.fragments); !done) return done;
    auto object = kbuild.object(*types, tree.folder() / "types", kTypeFlags);
    if (!object) return tl::make_unexpected(object.error());
    auto script = kbuild.gdb_script();
    if (!script) return tl::make_unexpected(script.error());
    parts.types = *object;
    parts.gdb_script = *script;
    return {};
  });
  if (!made) return made;
  return keep_debug_files(parts, debug_folder(cache, artifact.key), reporter);
}

// A kernel that is taken out of its packages.
Result<KernelArtifact> take_packaged(const fs::path& cache, const KernelSpec& spec,
                                     Reporter& reporter, bool only_if_there) {
  auto packages = resolve_packaged(spec, cache, reporter);
  if (!packages) return tl::make_unexpected(packages.error());
  const fs::path dir = cache / "kernels" / key_of(*packages);
  auto artifact = read_artifact(dir);
  if (!artifact && only_if_there) {
    return broken(fmt::format("is not there ({}); run: mmquake kernel build {}",
                              identity_of(*packages), spec.name));
  }
  if (!artifact) {
    if (auto done = obtain_packaged(spec, *packages, cache, dir, reporter); !done) {
      return tl::make_unexpected(done.error());
    }
    artifact = read_artifact(dir);
  }
  if (!artifact) return broken("the kernel was unpacked, but its folder is gone: " + dir.string());
  artifact->name = spec.name;
  return *artifact;
}

KernelAttempt attempt_of(KernelArtifact artifact, bool from_cache) {
  KernelAttempt out;
  out.artifact = std::move(artifact);
  out.from_cache = from_cache;
  return out;
}

Result<KernelAttempt> attempt_from(const fs::path& cache, const KernelSpec& spec,
                                   Reporter& reporter) {
  if (is_packaged(spec)) {
    auto artifact = take_packaged(cache, spec, reporter, false);
    if (!artifact) return tl::make_unexpected(artifact.error());
    return attempt_of(std::move(*artifact), false);
  }
  auto inputs = read_inputs(spec, cache, widener_source(), reporter);
  if (!inputs) return tl::make_unexpected(inputs.error());
  if (auto artifact = built(cache, spec, *inputs)) return attempt_of(std::move(*artifact), true);
  if (auto tools = check_tools(spec.source, !spec.patches.empty(), reporter); !tools) {
    return tl::make_unexpected(tools.error());
  }
  auto tree = BuildTree::open(cache, *inputs->source, reporter);
  if (!tree) return tl::make_unexpected(tree.error());
  // Whoever had the tree may have built this very kernel, and files may have changed while we
  // waited.
  inputs = read_inputs(spec, cache, widener_source(), reporter);
  if (!inputs) return tl::make_unexpected(inputs.error());
  if (auto artifact = built(cache, spec, *inputs)) return attempt_of(std::move(*artifact), true);
  if (auto done = build(cache, spec, *inputs, *tree, reporter); !done) {
    // No other step of a build ends with this kind: it is the source's own fault.
    if (done.error().kind != ErrorKind::kSkipped) return tl::make_unexpected(done.error());
    KernelAttempt out;
    out.reason = done.error().message;
    std::error_code error;
    if (fs::exists(build_log(*tree), error)) out.log = build_log(*tree);
    return out;
  }
  if (auto artifact = built(cache, spec, *inputs)) return attempt_of(std::move(*artifact), false);
  return broken("the kernel was built, but its folder is gone: " +
                artifact_folder(cache, *inputs).string());
}

Result<KernelDebugFiles> debug_files_from(const fs::path& cache, const KernelSpec& spec,
                                          Reporter& reporter) {
  if (is_packaged(spec)) {
    return usage("it came out of a package, without sources and debug information");
  }
  auto attempt = attempt_from(cache, spec, reporter);
  if (!attempt) return tl::make_unexpected(attempt.error());
  if (!attempt->artifact) return broken(attempt->reason);
  const std::optional<KernelArtifact>& artifact = attempt->artifact;
  const fs::path dir = debug_folder(cache, artifact->key);
  if (auto files = read_debug_files(dir)) return *files;
  auto inputs = read_inputs(spec, cache, widener_source(), reporter);
  if (!inputs) return tl::make_unexpected(inputs.error());
  if (auto tools = check_tools(spec.source, !spec.patches.empty(), reporter); !tools) {
    return tl::make_unexpected(tools.error());
  }
  auto tree = BuildTree::open(cache, *inputs->source, reporter);
  if (!tree) return tl::make_unexpected(tree.error());
  // Another mmquake may have made them while we waited for the tree.
  if (auto files = read_debug_files(dir)) return *files;
  if (key_of(*inputs) != artifact->key) {
    return broken("its source has changed meanwhile; run the command again");
  }
  if (auto made = make_debug_files(cache, *artifact, *inputs, *tree, reporter); !made) {
    return tl::make_unexpected(made.error());
  }
  if (auto files = read_debug_files(dir)) return *files;
  return broken("the files were made, but their folder is gone: " + dir.string());
}

}  // namespace

fs::path debug_vmlinux(const KernelArtifact& artifact) {
  return debug_folder(artifact.dir.parent_path().parent_path(), artifact.key) / "vmlinux";
}

KernelStore::KernelStore(fs::path cache) : cache_(std::move(cache)) {}

Result<KernelAttempt> KernelStore::attempt(const KernelSpec& spec, const ProgressSink& progress,
                                           const std::function<bool()>& should_stop) {
  Reporter reporter(progress, should_stop);
  auto attempt = attempt_from(cache_, spec, reporter);
  if (attempt && attempt->artifact) return attempt;
  // What a stop has cut short says nothing about the source.
  if (should_stop && should_stop()) return interrupted_error();
  if (attempt) return attempt;
  return context(fmt::format("kernel '{}'", spec.name), attempt.error());
}

Result<KernelArtifact> KernelStore::obtain(const KernelSpec& spec, const ProgressSink& progress,
                                           const std::function<bool()>& should_stop) {
  auto attempt = this->attempt(spec, progress, should_stop);
  if (!attempt) return tl::make_unexpected(attempt.error());
  if (attempt->artifact) return std::move(*attempt->artifact);
  std::string why = fmt::format("kernel '{}': {}", spec.name, attempt->reason);
  if (!attempt->log.empty()) {
    why += "; all that make printed is in " + attempt->log.string();
  }
  return broken(std::move(why));
}

Result<KernelDebugFiles> KernelStore::obtain_debug_files(const KernelSpec& spec,
                                                         const ProgressSink& progress,
                                                         const std::function<bool()>& should_stop) {
  Reporter reporter(progress, should_stop);
  auto files = debug_files_from(cache_, spec, reporter);
  if (files) return files;
  if (should_stop && should_stop()) return interrupted_error();
  return context(fmt::format("files for a debugger of kernel '{}'", spec.name), files.error());
}

Result<KernelArtifact> KernelStore::find(const KernelSpec& spec) {
  const ProgressSink silent;
  const std::function<bool()> never;
  Reporter reporter(silent, never);
  if (is_packaged(spec)) {
    auto artifact = take_packaged(cache_, spec, reporter, true);
    if (artifact) return artifact;
    return context(fmt::format("kernel '{}'", spec.name), artifact.error());
  }
  auto inputs = read_inputs(spec, cache_, widener_source(), reporter);
  if (!inputs) return context(fmt::format("kernel '{}'", spec.name), inputs.error());
  if (auto artifact = built(cache_, spec, *inputs)) return *artifact;
  return broken(fmt::format("kernel '{}' ({}) is not built; run: mmquake kernel build {}",
                            spec.name, inputs->source->title(), name_for_commands(spec)));
}

Result<std::vector<KernelStore::Entry>> KernelStore::list() const {
  std::vector<Entry> out;
  std::error_code error;
  for (fs::directory_iterator at(cache_ / "kernels", error), end; !error && at != end;
       at.increment(error)) {
    if (at->path().filename().string().starts_with('.')) continue;  // being removed
    auto artifact = read_artifact(at->path());
    if (!artifact) continue;
    Entry entry;
    entry.bytes = bytes_below(at->path());
    entry.artifact = std::move(*artifact);
    out.push_back(std::move(entry));
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    return broken(fmt::format("read '{}': {}", (cache_ / "kernels").string(), error.message()));
  }
  std::sort(out.begin(), out.end(), [](const Entry& a, const Entry& b) {
    return std::pair(a.artifact.name, a.artifact.built_at) <
           std::pair(b.artifact.name, b.artifact.built_at);
  });
  return out;
}

}  // namespace mmquake
