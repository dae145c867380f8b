// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "guest/protocol/result.h"
#include "host/kernel/fragment.h"
#include "host/kernel/make_output.h"
#include "host/kernel/reporter.h"

namespace mmquake::kernel {

// Part of each key, and of the name of the output folder: to be raised when the way that kernels
// are built changes their bytes.
inline constexpr int kRecipe = 2;

// A file of an external module.
struct ModuleFile {
  std::string name;
  std::string text;
};

// kbuild at work for x86-64, with its output in a folder of its own (O=). The same input gives the
// same bytes: names, times and paths of this host are kept out.
class Kbuild {
 public:
  struct Places {
    std::filesystem::path source;  // read only
    std::filesystem::path output;
    std::filesystem::path ccache;  // used when ccache is installed
    std::filesystem::path log;     // all that make prints
  };
  Kbuild(Places places, Reporter& reporter) : places_(std::move(places)), reporter_(reporter) {}

  // An error that is the source's own (an option that it does not keep, code that does not
  // compile) is of the kind kSkipped, and quotes its first line.
  //
  // allnoconfig, the fragments in order, olddefconfig; then checks that every option survived.
  // The old configuration stays when the new one is no good.
  Result<> configure(const std::vector<Fragment>& fragments);

  // bzImage, vmlinux, and what external modules are built against.
  Result<> compile();

  // Compiles the first of the files in the folder `folder`, which holds nothing else, as if it were
  // a module's; gives the object. `flags` come last. Needs no more than a configuration.
  Result<std::filesystem::path> object(const std::vector<ModuleFile>& files,
                                       const std::filesystem::path& folder,
                                       const std::string& flags);

  // Makes the kernel's commands for gdb, after object(); gives vmlinux-gdb.py, beside whose target
  // scripts/gdb lies, or nothing where the source has none.
  Result<std::filesystem::path> gdb_script();

  // Builds the module in the folder `folder`, which holds nothing else.
  Result<> module(const std::vector<ModuleFile>& files, const std::filesystem::path& folder);

  std::filesystem::path bzimage() const { return places_.output / "arch/x86/boot/bzImage"; }
  std::filesystem::path vmlinux() const { return places_.output / "vmlinux"; }
  std::filesystem::path config() const { return places_.output / ".config"; }
  Result<std::string> release() const;

 private:
  Command make(const std::vector<std::string>& words, const std::string& flags) const;
  Result<> run(const std::string& what, const Command& command, MakeProgress* progress);

  Places places_;
  Reporter& reporter_;
};

}  // namespace mmquake::kernel
