// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <filesystem>

#include "guest/protocol/result.h"

namespace mmquake {

// QEMU writes a compressed dump as a stream of pieces, each with its place in the file
// ("flattened", as for a pipe). Puts them there: `to` is a kdump file that any reader takes. A file
// that is in order already is moved. Gives the size of the pieces.
Result<std::uint64_t> unflatten(const std::filesystem::path& from, const std::filesystem::path& to);

}  // namespace mmquake
