// SPDX-License-Identifier: GPL-2.0-or-later
//
// One reader a kind of configuration file; Catalogue finds the files.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "guest/protocol/result.h"
#include "host/plan/config_file.h"
#include "host/plan/plan.h"

namespace mmquake {

// `root` is the catalogue's. Fragments are relative to root/fragments, patches to
// root/../images/patches; './x' is relative to the file itself.
Result<KernelSpec> read_kernel_spec(const std::filesystem::path& root,
                                    const std::filesystem::path& file);

// The text of a file that read_kernel_spec() makes the same of. `folder` is where the file will be:
// what lies below it is named as './x', so that the whole folder may move.
std::string kernel_spec_text(const KernelSpec& spec, const std::filesystem::path& folder);

// "dir:PATH" or "git:PATH@REV" as a kernel of its own, with base.config. A relative path is taken
// from the current directory.
Result<KernelSpec> kernel_from_source(const std::filesystem::path& root, const std::string& source);

Result<MachineSpec> read_machine_spec(const std::filesystem::path& file);
// The file that says the same, with all that has a default.
std::string machine_text(const MachineSpec& machine);

// Checks what one file can tell; that kernels, switches and machine exist is the catalogue's.
Result<CaseSpec> read_case_spec(const std::filesystem::path& file);

// The key 'boot_args': each entry is one argument, so it holds no white space.
std::vector<std::string> read_boot_args(ConfigTable& table);

// A table of workload parameters: strings and integers, as text.
std::map<std::string, std::string> read_params(ConfigTable& table);

// What `complain` says about `key` (of the table `section`, empty for the root), with the file's
// name and position.
Error error_at(const std::filesystem::path& file, std::string_view section, std::string_view key,
               const std::string& what);

}  // namespace mmquake
