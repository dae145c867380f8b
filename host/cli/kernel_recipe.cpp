// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/cli/kernel_recipe.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "host/kernel/files.h"
#include "host/kernel/packaged_kernel.h"
#include "host/plan/specs.h"

namespace mmquake {
namespace fs = std::filesystem;
namespace {

constexpr const char* kName = "recipe";

// Copies of the files in `folder`, named in their order.
Result<std::vector<fs::path>> copies(const std::vector<fs::path>& files, const fs::path& folder) {
  std::vector<fs::path> out;
  for (const fs::path& file : files) {
    out.push_back(folder / fmt::format("{:02}-{}", out.size() + 1, file.filename().string()));
    auto text = kernel::read_text(file);
    if (!text) return tl::make_unexpected(text.error());
    if (auto written = kernel::write_text(out.back(), *text); !written) {
      return tl::make_unexpected(written.error());
    }
  }
  return out;
}

Result<> write(const KernelSpec& spec, const fs::path& file) {
  return kernel::write_text(file, kernel_spec_text(spec, file.parent_path()));
}

}  // namespace

Result<> check_is_built(const KernelSpec& kernel) {
  if (!kernel::is_packaged(kernel)) return {};
  return usage(
      fmt::format("kernel '{}' comes out of a package and is not built: it has no "
                  "configuration for other sources",
                  kernel.name));
}

Result<KernelRecipe> KernelRecipe::keep(const KernelSpec& kernel, const fs::path& folder) {
  if (auto fine = check_is_built(kernel); !fine) return tl::make_unexpected(fine.error());
  KernelSpec spec = kernel;
  for (auto [files, name] : {std::pair(&spec.fragments, "fragments"), {&spec.patches, "patches"}}) {
    auto copied = copies(*files, folder / name);
    if (!copied) return tl::make_unexpected(copied.error());
    *files = std::move(*copied);
  }
  if (auto written = write(spec, folder / (std::string(kName) + ".toml")); !written) {
    return tl::make_unexpected(written.error());
  }
  return KernelRecipe(folder, std::move(spec));
}

Result<KernelRecipe> KernelRecipe::open(const fs::path& folder) {
  auto spec = read_kernel_spec(data_dir() / "configs", folder / (std::string(kName) + ".toml"));
  if (!spec) return tl::make_unexpected(spec.error());
  return KernelRecipe(folder, std::move(*spec));
}

Result<KernelSpec> KernelRecipe::kernel(const std::string& name, const std::string& source,
                                        std::size_t patches) const {
  KernelSpec out = spec_;
  out.name = name;
  out.source = source;
  out.patches.resize(std::min(out.patches.size(), patches));
  auto written = write(out, folder_ / (name + ".toml"));
  if (!written) return tl::make_unexpected(written.error());
  return out;
}

}  // namespace mmquake
