// SPDX-License-Identifier: GPL-2.0-or-later
//
// Kernel artifacts: built once, keyed by the hash of all their inputs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "guest/protocol/result.h"
#include "host/plan/plan.h"

namespace mmquake {

// A finished build. Immutable: the directory was put in place by one rename.
struct KernelArtifact {
  std::string name;  // of the spec
  std::string key;   // hex hash of source identity, fragments, patches, widener, compiler
  std::filesystem::path dir;
  std::filesystem::path bzimage;
  std::filesystem::path vmlinux;  // with line tables and inlines; empty of a packaged kernel
  std::filesystem::path widener;  // mmquake_widener.ko; empty of a packaged kernel
  // Of a packaged kernel: what guests use of it as modules, in the order in which they are loaded.
  std::vector<std::filesystem::path> modules;
  std::string release;   // uname -r
  std::string source;    // identity: "debian:linux-source-6.1=6.1.192-2"
  std::string built_at;  // ISO 8601, UTC
  // While a copy of this lives, gc leaves the artifact alone, also another process's gc.
  std::shared_ptr<const void> lease;
};

// What a debugger needs beside an artifact.
struct KernelDebugFiles {
  std::filesystem::path source;      // the files that the kernel was compiled from
  std::filesystem::path vmlinux;     // the artifact's, with the types and variables of its headers
  std::filesystem::path gdb_script;  // the kernel's own commands for gdb; empty where it has none
};

// Where obtain_debug_files() puts that vmlinux.
std::filesystem::path debug_vmlinux(const KernelArtifact& artifact);

// One step of a long action, for a person or a log: called at least every 2 s while it lasts.
struct Progress {
  std::string stage;     // "download linux-source-6.1", "compile", ...
  std::string detail;    // "mm/huge_memory.o, 812 objects, about 2 min left"
  double fraction = -1;  // 0..1; negative: not known
};
using ProgressSink = std::function<void(const Progress&)>;

// "compile 43 %, mm/huge_memory.o, 812 objects, about 2 min left"
std::string to_text(const Progress& progress);

// What became of a source that may be no good.
struct KernelAttempt {
  std::optional<KernelArtifact> artifact;
  bool from_cache = false;  // it was there already
  // Without an artifact: why this source, with these fragments and patches, gives none. A patch
  // with its file and hunk, the option that was lost, or the compiler's first error.
  std::string reason;
  std::filesystem::path log;  // what make printed, until the next build of the tree; may be empty
};

class KernelStore {
 public:
  // `cache` is the XDG cache directory of mmquake.
  explicit KernelStore(std::filesystem::path cache);

  // The artifact of `spec`, built if there is none. Waits for another process that builds the
  // same tree. Errors name the patch, file and hunk, the lost option, or what to install.
  // Returns broken "interrupted" when `should_stop` becomes true; no child is left then.
  Result<KernelArtifact> obtain(const KernelSpec& spec, const ProgressSink& progress,
                                const std::function<bool()>& should_stop);

  // The same for who tries many sources: what is wrong with this one is an answer and no error.
  Result<KernelAttempt> attempt(const KernelSpec& spec, const ProgressSink& progress,
                                const std::function<bool()>& should_stop);

  // The artifact of `spec` if it is built.
  Result<KernelArtifact> find(const KernelSpec& spec);

  // What a debugger needs to see the artifact of `spec`, built or made if it is not there. Usage
  // error for a packaged kernel.
  Result<KernelDebugFiles> obtain_debug_files(const KernelSpec& spec, const ProgressSink& progress,
                                              const std::function<bool()>& should_stop);

  struct Entry {
    KernelArtifact artifact;
    std::uint64_t bytes = 0;
  };
  Result<std::vector<Entry>> list() const;

  // Removes artifacts that none of `keep` would use, the trees of other sources and what killed
  // builds left; nothing that is in use or being built. Returns bytes freed.
  Result<std::uint64_t> gc(const std::vector<KernelSpec>& keep, const ProgressSink& progress = {},
                           const std::function<bool()>& should_stop = {});

 private:
  std::filesystem::path cache_;
};

}  // namespace mmquake
