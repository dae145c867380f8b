// SPDX-License-Identifier: GPL-2.0-or-later
//
// Which function of a stack is to blame: the first that is not part of the reporting, waiting or
// copying that every such stack has on top.
#pragma once

#include <string_view>

namespace mmquake {

// How a stack is read. Every policy skips the machinery that prints reports.
enum class Blame {
  kOops,   // the RIP, then the call trace
  kTrace,  // the call trace; allocators and locks are not to blame
  kTask,   // one task's call trace: how it sleeps is not why
  kCpu,    // the RIP of the first CPU that is not idle, then what called it
};

// Empty if the log holds no function. The result is a view into `log`, without compiler suffix.
std::string_view blamed_function(Blame policy, std::string_view log);

// False for functions that such a stack only has on top.
bool may_be_blamed(Blame policy, std::string_view function);

}  // namespace mmquake
