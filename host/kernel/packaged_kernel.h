// SPDX-License-Identifier: GPL-2.0-or-later
//
// A kernel as its distribution built it: taken out of binary packages, neither patched nor
// compiled. Such an artifact has no vmlinux with debug information and no widener; it has the
// modules that guests use.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "guest/protocol/result.h"
#include "host/kernel/apt.h"
#include "host/kernel/reporter.h"
#include "host/plan/plan.h"

namespace mmquake::kernel {

// "debian-image:PACKAGE" rather than a source to build from.
bool is_packaged(const KernelSpec& spec);

// The packages that a spec means now. The answer of apt is remembered for a day, and for longer
// when the archive cannot be reached.
Result<std::vector<Package>> resolve_packaged(const KernelSpec& spec,
                                              const std::filesystem::path& cache,
                                              Reporter& reporter);

// "debian-image:linux-image-6.1.0-49-cloud-amd64=6.1.192-2", with all packages that hold something.
std::string identity_of(const std::vector<Package>& packages);
// The artifact's key: a hash of the identity, and of what an artifact holds.
std::string key_of(const std::vector<Package>& packages);

// Downloads and unpacks the packages and puts the kernel into `dir` by one rename.
Result<> obtain_packaged(const KernelSpec& spec, const std::vector<Package>& packages,
                         const std::filesystem::path& cache, const std::filesystem::path& dir,
                         Reporter& reporter);

}  // namespace mmquake::kernel
