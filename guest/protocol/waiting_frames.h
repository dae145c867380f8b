// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a stack has on top because its task or CPU waits. Guest and host both read stacks and must
// blame the same function.
#pragma once

#include <string_view>

namespace mmquake {

// True for functions of the scheduler, of locks and of entry from an interrupt or fault: they say
// how a task or CPU waits and never why. `function` has neither offset nor compiler suffix.
bool is_waiting_frame(std::string_view function);

}  // namespace mmquake
