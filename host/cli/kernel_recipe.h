// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>

#include "guest/protocol/result.h"
#include "host/plan/plan.h"

namespace mmquake {

// How kernels are made of sources that change: fragments, patches and boot arguments, copied into
// a folder of their own. So a bisection that goes on next week, or a trial that is repeated,
// builds what was built before, whatever has become of the files they came from.
class KernelRecipe {
 public:
  // Makes `folder`. The source of `kernel` is of no account.
  static Result<KernelRecipe> keep(const KernelSpec& kernel, const std::filesystem::path& folder);
  // What keep() left there.
  static Result<KernelRecipe> open(const std::filesystem::path& folder);

  // The kernel of a source with the first `patches` of the recipe's, written to NAME.toml in the
  // folder for who wants to run it again.
  Result<KernelSpec> kernel(const std::string& name, const std::string& source,
                            std::size_t patches = SIZE_MAX) const;

  const KernelSpec& spec() const { return spec_; }

 private:
  KernelRecipe(std::filesystem::path folder, KernelSpec spec)
      : folder_(std::move(folder)), spec_(std::move(spec)) {}

  std::filesystem::path folder_;
  KernelSpec spec_;
};

// Usage error for a kernel out of a package: it is not built, and so is like no other.
Result<> check_is_built(const KernelSpec& kernel);

}  // namespace mmquake
