// SPDX-License-Identifier: GPL-2.0-or-later
//
// Which lines of a kernel log start, continue and end a report. Pure functions of one line.
#pragma once

#include <string_view>

namespace mmquake {

enum class ReportShape {
  kNone,
  kPrelude,  // "[ cut here ]", "=====", a page dump: belongs to the report that may follow
  kWarning,
  kKernelBug,
  kNullDereference,
  kPagingRequest,
  kPageTable,
  kDie,  // general protection fault, divide error, double fault, ...
  kKasan,
  kKfence,
  kKmsan,
  kKcsan,
  kUbsan,
  kSlub,
  kHungTask,
  kRcuStall,
  kSoftLockup,
  kHardLockup,
  kBadPage,
  kBadEntry,  // a page table or swap entry, or a counter of an mm: one line
  kSleepInAtomic,
  kScheduleInAtomic,
  kDeadlock,
  kInconsistentLock,
  kSuspiciousRcu,
  kLockdep,  // the rest of lockdep
  kListCorruption,
  kOtherBug,
  kPanic,
  kOutOfMemory,
  kNmi,
};

// What the line starts, or kNone. `text` is without the printk prefix.
ReportShape shape_of(std::string_view text);

// KernelReport::kind.
std::string_view kind_of(ReportShape shape);

// A name for the trap of "general protection fault, probably for ...: 0000 [#1]"; empty if the
// line is none.
std::string_view die_name(std::string_view text);

// A line as reports have them in the middle: a frame, registers, "Modules linked in", ...
bool is_report_content(std::string_view text);

// What may follow behind "---[ end trace".
bool is_epilogue(std::string_view text);

// A panic that is the consequence of a report, not a reason of its own ("Fatal exception").
bool is_consequence_panic(std::string_view text);
bool is_out_of_memory_panic(std::string_view text);
bool is_nmi_panic(std::string_view text);

// The line in which the out-of-memory killer says that only a cgroup was out of memory.
bool is_cgroup_out_of_memory(std::string_view text);

// Lines without report content after which a report is over.
int patience(ReportShape shape);

inline constexpr std::string_view kPanicLine = "Kernel panic - not syncing";
inline constexpr std::string_view kEndOfPanic = "---[ end Kernel panic";
inline constexpr std::string_view kEndOfTrace = "---[ end trace";
inline constexpr std::string_view kCutHere = "------------[ cut here ]";

}  // namespace mmquake
