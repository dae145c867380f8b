// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/kernel/inputs.h"

#include <fmt/format.h>

#include "host/kernel/files.h"
#include "host/kernel/toolchain.h"

namespace mmquake::kernel {
namespace fs = std::filesystem;
namespace {

void add(std::string& text, std::string_view what, std::string_view content) {
  // With its length, so that no two lists of parts give one text.
  text += fmt::format("{} {}\n", what, content.size());
  text += content;
  text += '\n';
}

}  // namespace

Result<Inputs> read_inputs(const KernelSpec& spec, const fs::path& cache, const fs::path& widener,
                           Reporter& reporter) {
  Inputs inputs;
  for (const fs::path& file : spec.fragments) {
    auto text = read_text(file);
    if (!text) return context("fragment", text.error());
    inputs.fragments.push_back({file, std::move(*text)});
  }
  if (auto fine = wanted_options(inputs.fragments); !fine) {
    return tl::make_unexpected(fine.error());
  }
  for (const fs::path& file : spec.patches) {
    auto text = read_text(file);
    if (!text) return context("patch", text.error());
    inputs.patches.push_back({file, std::move(*text)});
  }
  for (const char* name : {"Kbuild", "widener.h", "control.c", "probe.c"}) {
    auto text = read_text(widener / name);
    if (!text) {
      return context("the widener's source (set MMQUAKE_DATA to mmquake's source tree)",
                     text.error());
    }
    inputs.widener.push_back({name, std::move(*text)});
  }
  auto compiler = compiler_identity(reporter);
  if (!compiler) return tl::make_unexpected(compiler.error());
  inputs.compiler = *compiler;
  auto source = open_source(spec.source, cache, reporter);
  if (!source) return tl::make_unexpected(source.error());
  inputs.source = std::move(*source);
  return inputs;
}

std::string key_of(const std::string& source, const std::vector<Fragment>& fragments,
                   const std::vector<Patch>& patches, const std::vector<ModuleFile>& widener,
                   const std::string& compiler) {
  std::string text = fmt::format("mmquake kernel {}\n", kRecipe);
  add(text, "source", source);
  for (const Fragment& fragment : fragments) add(text, "fragment", fragment.text);
  for (const Patch& patch : patches) add(text, "patch", patch.text);
  for (const ModuleFile& file : widener) {
    add(text, "widener", file.name);
    add(text, "widener", file.text);
  }
  add(text, "compiler", compiler);
  return hash_of(text);
}

std::string key_of(const Inputs& inputs) {
  return key_of(inputs.source->identity(), inputs.fragments, inputs.patches, inputs.widener,
                inputs.compiler);
}

}  // namespace mmquake::kernel
