// SPDX-License-Identifier: GPL-2.0-or-later
//
// Patches out of mails.
#pragma once

#include <filesystem>
#include <vector>

#include "guest/protocol/result.h"
#include "host/kernel/reporter.h"

namespace mmquake::kernel {

// The patches that `file` holds, each written to a file of its own in the new folder `folder`, in
// the order in which they are to be applied: one diff; or one mail or a mailbox, decoded as `git
// am` does it, where "[PATCH 2/3]" comes after "[PATCH 1/3]" and mails without a patch are left
// out. Usage error when there is no patch in it.
Result<std::vector<std::filesystem::path>> patches_in(const std::filesystem::path& file,
                                                      const std::filesystem::path& folder,
                                                      Reporter& reporter);

}  // namespace mmquake::kernel
