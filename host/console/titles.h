// SPDX-License-Identifier: GPL-2.0-or-later
//
// Stable titles, as syzbot makes them: the kind of the report and the function to blame, and no
// address, offset, number, pid or CPU.
#pragma once

#include <string>
#include <string_view>

#include "host/console/report_shapes.h"

namespace mmquake {

// Numbers and addresses become NUM and ADDR, what is not printable ASCII '?'; at most 160
// characters.
std::string stable_words(std::string_view text);

// `head` is the line that started the report, without its printk prefix; `log` are its raw lines.
std::string title_of(ReportShape shape, std::string_view head, std::string_view log);

}  // namespace mmquake
