// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "guest/protocol/result.h"
#include "host/kernel/fragment.h"
#include "host/kernel/kbuild.h"
#include "host/kernel/patching.h"
#include "host/kernel/reporter.h"
#include "host/kernel/source.h"
#include "host/plan/plan.h"

namespace mmquake::kernel {

// All that decides the bytes of an artifact, read once.
struct Inputs {
  std::unique_ptr<Source> source;
  std::vector<Fragment> fragments;
  std::vector<Patch> patches;
  std::vector<ModuleFile> widener;
  std::string compiler;
};

// `widener` is the folder with the module's source.
Result<Inputs> read_inputs(const KernelSpec& spec, const std::filesystem::path& cache,
                           const std::filesystem::path& widener, Reporter& reporter);

// XXH3-128 in hex over the identity of the source, the contents of fragments, patches and widener
// in their order, and the compiler. File names play no part.
std::string key_of(const std::string& source, const std::vector<Fragment>& fragments,
                   const std::vector<Patch>& patches, const std::vector<ModuleFile>& widener,
                   const std::string& compiler);
std::string key_of(const Inputs& inputs);

}  // namespace mmquake::kernel
