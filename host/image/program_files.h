// SPDX-License-Identifier: GPL-2.0-or-later
//
// What programs on this host need to run in an image that holds nothing else.
#pragma once

#include <filesystem>
#include <string>

#include "guest/protocol/result.h"

namespace mmquake {

// The loader that an ELF program for x86_64 asks for; empty: it is static. A usage error says why a
// file is no such program.
Result<std::string> loader_of(const std::filesystem::path& file);

// A busybox without shared libraries; the error says what to install.
Result<std::filesystem::path> static_busybox();

}  // namespace mmquake
