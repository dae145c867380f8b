// SPDX-License-Identifier: GPL-2.0-or-later
//
// What makes two findings one bug. Kind and title, as syzbot does it: a title names the place that
// is to blame and nothing that differs from run to run. Callers are no part of it: one check that
// fails in a function with twenty callers is one bug. The report's log is asked where a title alone
// is wrong (docs/report.md tells why):
//
//  - a general helper (folio_unlock, page_counter_cancel, ...) is named with its caller;
//  - an inlined function counts as if it were not, when the log is symbolized (Symbolizer); a
//    header's function, inlined or not, stands for its caller;
//  - an oops says only that an access was bad: which way depends on what the pointer held;
//  - a bad page that an allocation came across is named by its fault, not by who allocated;
//  - a possible deadlock is named by its locks: which side closed the circle is chance;
//  - a counter of an mm is named by its type.
#pragma once

#include <string>
#include <string_view>

namespace mmquake {

// Equal for what is taken for one bug. Printable ASCII, at most 512 characters. `log` is the
// report, raw or symbolized, or the stack of a hang, or empty. Linear in the log.
std::string signature_of(std::string_view kind, std::string_view title, std::string_view log);

}  // namespace mmquake
