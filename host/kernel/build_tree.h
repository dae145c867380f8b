// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "guest/protocol/result.h"
#include "host/kernel/patching.h"
#include "host/kernel/reporter.h"
#include "host/kernel/source.h"
#include "host/kernel/tree_lock.h"

namespace mmquake::kernel {

// A source tree in the cache with what kbuild made from it, locked. Kernels of one source take
// turns in it; only the files in which they differ are written, so that kbuild does as little as
// it can. What is on disk is right after a kill -9 at any point, or is mended by the next open():
//
//   source/     the source with patches
//   originals/  the source's own version of each file that a patch touches
//   state.json  which files those are, which identity the rest has, whether kbuild was at work
//   build-*/    kbuild's output (O=), one for each compiler
class BuildTree {
 public:
  // Waits for the lock. `title` is the source's, for messages.
  static Result<BuildTree> open(const std::filesystem::path& cache, const Source& source,
                                Reporter& reporter);

  // Gives the tree the source's files, leaving patched ones to set_patches().
  Result<> fill(Source& source, Reporter& reporter);

  // Gives the tree these patches and no others. When one does not apply, nothing has changed.
  Result<> set_patches(const std::vector<Patch>& patches, Reporter& reporter);

  // To be called around kbuild's work. A build that ended by itself, well or not, leaves no half
  // object; one that was killed may.
  Result<> build_begins();
  Result<> build_ended();

  const std::filesystem::path& folder() const { return folder_; }
  std::filesystem::path source() const { return folder_ / "source"; }

 private:
  BuildTree(std::filesystem::path folder, TreeLock lock)
      : folder_(std::move(folder)), lock_(std::move(lock)) {}

  void read_state();
  Result<> write_state() const;
  Result<> mend(Reporter& reporter);
  Result<> update(Source& source, Reporter& reporter);
  Result<> fetch_whole(Source& source, Reporter& reporter);
  Result<> install(const std::vector<std::string>& paths, const std::filesystem::path& from,
                   Reporter& reporter);
  std::filesystem::path base_of(const std::string& path) const;
  std::vector<std::string> present_files() const;
  Result<> keep_originals(const std::set<std::string>& paths);

  std::filesystem::path folder_;
  TreeLock lock_;
  std::string identity_;             // empty: not known, every file has to be compared
  std::set<std::string> touched_;    // by patches, perhaps
  std::int64_t building_since_ = 0;  // ns of CLOCK_REALTIME; 0: kbuild is not at work
};

// Name of the folder for kbuild's output with a compiler.
std::string build_folder_name(const std::string& compiler);

// Removes each target in `build` that was written since `since` (ns) but whose command kbuild had
// not noted yet when it was killed: the target may be half a file that looks up to date.
Result<> drop_half_written(const std::filesystem::path& build, std::int64_t since);

}  // namespace mmquake::kernel
