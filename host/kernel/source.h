// SPDX-License-Identifier: GPL-2.0-or-later
//
// Where a kernel's source comes from. A source has an identity (equal identities: equal files) and
// gives its files; nothing here writes to what the user owns.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "guest/protocol/result.h"
#include "host/kernel/reporter.h"

namespace mmquake::kernel {

// What a source consists of: the identity of each file's content and mode, by relative path.
using Manifest = std::map<std::string, std::string>;

class Source {
 public:
  virtual ~Source() = default;
  // "debian:linux-source-6.1=6.1.192-2", "git:<commit>", "dir:<hash of all files>".
  virtual std::string identity() const = 0;
  // For a person: "linux-source-6.1 6.1.192-2".
  virtual std::string title() const = 0;
  // Name of the build tree that holds it. Revisions of one directory or repository share a tree.
  virtual std::string tree() const = 0;
  // nullptr: all that ever goes into its tree is the one identity, fetched whole.
  virtual const Manifest* manifest() const = 0;
  // Puts the files `paths` of the manifest (or all there is) below the folder `into`. When the
  // source has moved on in the meantime, that is an error.
  virtual Result<> fetch(const std::vector<std::string>& paths, const std::filesystem::path& into,
                         Reporter& reporter) = 0;
};

// Finds out what `source` of a KernelSpec is now. `cache` is where answers are remembered.
Result<std::unique_ptr<Source>> open_source(const std::string& source,
                                            const std::filesystem::path& cache, Reporter& reporter);

// One for each kind. `package`, `path` and `revision` are the parts of the spec's source.
Result<std::unique_ptr<Source>> open_debian(const std::string& package,
                                            const std::filesystem::path& cache, Reporter& reporter);
Result<std::unique_ptr<Source>> open_directory(const std::filesystem::path& path,
                                               const std::filesystem::path& cache,
                                               Reporter& reporter);
Result<std::unique_ptr<Source>> open_git(const std::filesystem::path& path,
                                         const std::string& revision,
                                         const std::filesystem::path& cache, Reporter& reporter);

// Whether the build tree `tree` belongs to `source`, of whichever version.
bool is_tree_of(const std::string& source, const std::string& tree);

// Folder of a build tree.
std::filesystem::path tree_folder(const std::filesystem::path& cache, const std::string& tree);

// The tree's name for a directory or repository: readable, and one of its own for each path.
std::string tree_name(const std::string& kind, const std::filesystem::path& path);

// `git -C path WORDS...` that obeys neither the environment of an outer git nor the repository's
// own wishes to run programs, and writes nothing. `index` takes the place of the repository's.
Command git_command(const std::filesystem::path& path, const std::vector<std::string>& words,
                    const std::filesystem::path& index = {});

// The entries that a command prints with a NUL after each, by way of the file `scratch`.
Result<std::vector<std::string>> entries_of(std::string_view name, const Command& command,
                                            const std::filesystem::path& scratch,
                                            Reporter& reporter);

}  // namespace mmquake::kernel
