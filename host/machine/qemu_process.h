// SPDX-License-Identifier: GPL-2.0-or-later
//
// QEMUs by their arguments.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace mmquake {

// Whether `pid` is a QEMU whose arguments hold `part`.
bool is_qemu_of(pid_t pid, const std::string& part);

// All of them.
std::vector<pid_t> find_qemus(const std::string& part);

}  // namespace mmquake
