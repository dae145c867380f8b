// SPDX-License-Identifier: GPL-2.0-or-later
//
// The functions by which the sides of a race come: those on stacks, and what they call. Pure: who
// reads stacks and counts calls is the caller's.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "guest/protocol/result.h"

namespace mmquake {

// The functions of a stack by name, innermost first; empty where nobody knows.
using NamedStack = std::vector<std::string>;

// A function that a side of the race came by.
struct SiteSeen {
  std::string function;
  std::string side;  // how it came into the kernel: "__x64_sys_move_pages", "exc_page_fault"
  std::uint64_t stacks = 0;  // 0: it was on none, but who called it was
  std::uint64_t calls = 0;   // in one trial; 0: nobody has counted
};

// What is worth a try, at most `most`: of each side in turn the function that was on most of its
// stacks, each counted by its depth there, since a race is lost deep inside. Left out are sides
// with less than a twentieth of the stacks, entry code, idling, scheduling, kernel threads that
// work for everybody, system calls by which roles wait for each other, locks and other helpers, and
// interrupts with what they run.
std::vector<SiteSeen> sites_seen(const std::vector<NamedStack>& stacks, std::size_t most);

// The functions that one calls directly.
using Callees = std::function<std::vector<std::string>(const std::string& function)>;
// How often each of these was called in a trial, at most kMostCounted at once. Who is missing was
// not called, or nobody can say.
using CountCalls =
    std::function<Result<std::map<std::string, std::uint64_t>>(const std::vector<SiteSeen>&)>;
inline constexpr std::size_t kMostCounted = 64;  // probes that the widener has

// Of `seen`, of what these call, of what those call, and so on, all that was called in a trial, at
// most `most`: a function of a microsecond is on no stack that anybody happens to see, and may be
// just where a race is lost. Helpers are left out. A callee has the side of its caller that came
// first. Errors: those of `count`.
Result<std::vector<SiteSeen>> sites_that_run(const std::vector<SiteSeen>& seen,
                                             const Callees& callees, const CountCalls& count,
                                             std::size_t most);

}  // namespace mmquake
