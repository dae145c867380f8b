// SPDX-License-Identifier: GPL-2.0-or-later
//
// The folder of a finished kernel: CACHE/kernels/KEY/{bzImage,vmlinux,mmquake_widener.ko,config,
// artifact.json}; modules/ instead of vmlinux and widener when it came out of a package.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "guest/protocol/result.h"
#include "host/kernel/inputs.h"
#include "host/kernel/kbuild.h"
#include "host/kernel/kernel_store.h"

namespace mmquake::kernel {

// The artifact in the folder `dir`, leased; nullopt when there is none that is whole.
std::optional<KernelArtifact> read_artifact(const std::filesystem::path& dir);

// Puts what `kbuild` and the module's folder hold into `dir` by one rename; `scratch` is on the
// same file system.
Result<> finish_artifact(const KernelSpec& spec, const Inputs& inputs, const Kbuild& kbuild,
                         const std::filesystem::path& module, const std::filesystem::path& scratch,
                         const std::filesystem::path& dir, Reporter& reporter);

// Removes it unless somebody has a lease; returns the bytes freed.
Result<std::uint64_t> remove_artifact(const std::filesystem::path& dir);

}  // namespace mmquake::kernel
