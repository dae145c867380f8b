// SPDX-License-Identifier: GPL-2.0-or-later
//
// Binary packages of any Debian release, by apt and verified by it, without touching the system's
// sources and installing nothing.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "guest/protocol/result.h"
#include "host/kernel/reporter.h"

namespace mmquake::kernel {

struct Package {
  std::string name;
  std::string version;

  bool operator==(const Package&) const = default;
};

class Apt {
 public:
  // The host's own apt, or with `suite` ("bullseye", "trixie-backports") one of our own below
  // `cache`/apt that knows this suite of the archive that the host uses.
  Apt(std::string suite, std::filesystem::path cache)
      : suite_(std::move(suite)), cache_(std::move(cache)) {}

  // Fetches the suite's lists if they are missing or older than a day; the host's lists are the
  // host's affair. A download that fails is no error while there are old lists.
  Result<> refresh(Reporter& reporter);

  // The package and those that it depends on, as far as their names begin with one of `prefixes`:
  // a metapackage leads to what it stands for. Error when apt does not know it.
  Result<std::vector<Package>> closure(const std::string& name,
                                       const std::vector<std::string>& prefixes,
                                       Reporter& reporter) const;

  // The .deb of a package, in `folder`.
  Result<std::filesystem::path> download(const Package& package,
                                         const std::filesystem::path& folder,
                                         Reporter& reporter) const;

 private:
  std::filesystem::path root() const { return cache_ / "apt" / suite_; }
  std::vector<std::string> with_options(const std::string& tool,
                                        const std::vector<std::string>& words) const;
  Result<std::string> archive_uri(Reporter& reporter) const;

  std::string suite_;
  std::filesystem::path cache_;
};

// Names in `apt-cache depends` that begin with a prefix.
std::vector<std::string> dependencies_in(const std::string& text,
                                         const std::vector<std::string>& prefixes);

// The version that `apt-cache policy` names as the candidate; empty when there is none.
std::string candidate_in(const std::string& policy);

// `command` with sudo before it, unless this is root.
std::string as_root(const std::string& command);

}  // namespace mmquake::kernel
