// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <filesystem>
#include <string>

#include "guest/protocol/result.h"
#include "host/kernel/reporter.h"

namespace mmquake::kernel {

// The compiler that kernels are built with: first line of `gcc --version` and the target triple.
Result<std::string> compiler_identity(Reporter& reporter);

// Whether everything that fetching `source` and building with patches takes is installed; the
// error names what is missing and what mends it.
Result<> check_tools(const std::string& source, bool patches, Reporter& reporter);

// Whether PATH has a program of this name.
bool is_in_path(const std::string& program);

}  // namespace mmquake::kernel
