// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/console/report_shapes.h"

#include <algorithm>
#include <array>
#include <span>

#include "host/console/printk_line.h"

namespace mmquake {
namespace {

using Shape = ReportShape;

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// The first character alone rules most of them out.
bool starts_with_any(std::string_view text, std::span<const std::string_view> starts) {
  return !text.empty() && std::any_of(starts.begin(), starts.end(), [&](std::string_view start) {
    return text[0] == start[0] && text.starts_with(start);
  });
}

bool contains_any(std::string_view text, std::span<const std::string_view> parts) {
  return std::any_of(parts.begin(), parts.end(),
                     [&](std::string_view part) { return contains(text, part); });
}

void drop(std::string_view& text, std::string_view start) {
  if (text.starts_with(start)) text.remove_prefix(start.size());
}

struct Pattern {
  std::string_view start;
  Shape shape;
};

Shape first_match(std::string_view text, std::span<const Pattern> patterns) {
  for (const Pattern& pattern : patterns) {
    if (text.starts_with(pattern.start)) return pattern.shape;
  }
  return Shape::kNone;
}

// Behind "BUG: ". First match wins.
constexpr auto kBugs = std::to_array<Pattern>({
    {"KASAN: ", Shape::kKasan},
    {"KFENCE: ", Shape::kKfence},
    {"KMSAN: ", Shape::kKmsan},
    {"KCSAN: ", Shape::kKcsan},
    {"kernel NULL pointer dereference", Shape::kNullDereference},
    {"unable to handle kernel NULL pointer dereference", Shape::kNullDereference},
    {"unable to handle ", Shape::kPagingRequest},
    {"soft lockup - CPU#", Shape::kSoftLockup},
    {"workqueue lockup", Shape::kSoftLockup},
    {"Bad page state in process", Shape::kBadPage},
    {"Bad page map in process", Shape::kBadPage},
    {"Bad page cache in process", Shape::kBadPage},
    {"Bad rss-counter state", Shape::kBadEntry},
    {"non-zero pgtables_bytes", Shape::kBadEntry},
    {"sleeping function called from invalid context", Shape::kSleepInAtomic},
    {"scheduling while atomic", Shape::kScheduleInAtomic},
    // Lockdep ran out of memory of its own and switched itself off.
    {"MAX_LOCKDEP_", Shape::kNone},
    {"MAX_LOCK_DEPTH", Shape::kNone},
    {"MAX_STACK_TRACE_ENTRIES", Shape::kNone},
});

// Behind "WARNING: ": lockdep. What is not listed is a remark (unwinder, module loader, ...).
constexpr auto kWarnings = std::to_array<Pattern>({
    {"possible circular locking dependency detected", Shape::kDeadlock},
    {"possible recursive locking detected", Shape::kDeadlock},
    {"possible irq lock inversion dependency detected", Shape::kDeadlock},
    {"HARDIRQ-safe -> HARDIRQ-unsafe lock order detected", Shape::kDeadlock},
    {"SOFTIRQ-safe -> SOFTIRQ-unsafe lock order detected", Shape::kDeadlock},
    {"inconsistent lock state", Shape::kInconsistentLock},
    {"suspicious RCU usage", Shape::kSuspiciousRcu},
    {"bad unlock balance detected", Shape::kLockdep},
    {"bad contention detected", Shape::kLockdep},
    {"held lock freed", Shape::kLockdep},
    {"lock held when returning to user space", Shape::kLockdep},
    {"Nested lock was not taken", Shape::kLockdep},
    {"chain_key collision", Shape::kLockdep},
});

struct Trap {
  std::string_view start, name;
};
constexpr auto kTraps = std::to_array<Trap>({
    {"general protection fault", "general protection fault"},
    {"divide error", "divide error"},
    {"double fault", "double fault"},
    {"stack segment", "stack segment fault"},
    {"segment not present", "segment not present"},
    {"invalid opcode", "invalid opcode"},
    {"invalid TSS", "invalid TSS"},
    {"int3", "int3"},
    {"bounds", "bounds"},
    {"alignment check", "alignment check"},
    {"control protection fault", "control protection fault"},
    {"Bad pagetable", "Bad pagetable"},
    {"unexpected virtualization exception", "unexpected virtualization exception"},
    {"stack guard page", "stack guard page"},
});

// What lines of a report start with.
constexpr auto kContent = std::to_array<std::string_view>({
    // Reports indent their lists and frames; hardly anything else does.
    " ",
    "\t",
    ">ffff",
    "[<",
    "-----",
    "---[",
    "=====",
    // every stack
    "CPU: ",
    "Hardware name: ",
    "Modules linked in:",
    "Call Trace",
    "RIP: ",
    "Code: ",
    "RSP: ",
    "RAX: ",
    "RDX: ",
    "RBP: ",
    "R10: ",
    "R13: ",
    "FS: ",
    "CS: ",
    "CR2: ",
    "DR0: ",
    "DR3: ",
    "PKRU: ",
    "ORIG_RAX: ",
    "Tainted: ",
    "Workqueue: ",
    "Kernel panic",
    "Kernel Offset:",
    // oopses
    "#PF: ",
    "PGD ",
    "Oops",
    "KASAN: ",
    "Dumping ftrace",
    "kernel tried to execute",
    // pages
    "page:",
    "head:",
    "memcg:",
    "flags:",
    "raw:",
    "anon flags:",
    "ksm flags:",
    "page_type:",
    "page dumped because:",
    "page_owner ",
    "page last ",
    "page has been migrated",
    "addr:",
    "file:",
    "aops:",
    "shmem_aops",
    "swap_aops",
    "vma ",
    "mm ",
    // sanitizers and SLUB
    "Read of size",
    "Write of size",
    "Free of addr",
    "Allocated by",
    "Freed by",
    "allocated by",
    "freed by",
    "The buggy address",
    "Memory state around",
    "which belongs to",
    "kfence-#",
    "Last potentially related",
    "Second to last",
    "index ",
    "shift exponent",
    "Slab 0x",
    "Object ",
    "Redzone ",
    "Padding ",
    "FIX ",
    "Bytes b4 ",
    "0x",
    // stalls
    "Sending NMI",
    "NMI backtrace",
    "task:",
    "rcu: ",
    "Uhhuh.",
    "Dazed and confused",
    "\"echo 0 > /proc",
    "Showing all locks",
    "Future hung task",
    // lockdep and atomicity
    "irq event stamp:",
    "hardirqs last",
    "softirqs last",
    "Preemption disabled at",
    "in_atomic():",
    "preempt_count:",
    "RCU nest depth:",
    "INFO: lockdep is turned off",
    "Disabling lock debugging",
    "which lock already",
    "the existing dependency",
    "-> #",
    "other info",
    "Chain exists of:",
    "stack backtrace:",
    "rcu_scheduler_active",
    "last function:",
    // out of memory
    "Mem-Info:",
    "active_anon:",
    "lowmem_reserve[]:",
    "Tasks state",
    "oom-kill:",
});

// What may follow behind "---[ end trace".
constexpr auto kEpilogue = std::to_array<std::string_view>({
    "RIP: ",        "Code: ",
    "RSP: ",        "RAX: ",
    "RDX: ",        "RBP: ",
    "R10: ",        "R13: ",
    "FS: ",         "CS: ",
    "CR2: ",        "DR0: ",
    "DR3: ",        "PKRU: ",
    "note: ",       "Kernel Offset:",
    "Rebooting ",   "Modules linked in:",
    "ORIG_RAX: ",   "Disabling lock debugging",
    "oom_reaper: ",
});

// Panics that only say that there was a report.
constexpr auto kConsequences = std::to_array<std::string_view>({
    "Fatal exception",
    "panic_on_warn set",
    "panic_on_taint set",
    "hung_task: blocked tasks",
    "softlockup: hung tasks",
    "Hard LOCKUP",
    "RCU Stall",
    "kasan.fault=panic set",
    "kmsan.panic set",
    "Oopsed too often",
    "system warned too often",
});

Shape bug_shape(std::string_view text) {
  // "Bad page map: 5 messages suppressed"
  if (contains(text, " messages suppressed")) return Shape::kNone;
  for (const Pattern& pattern : kBugs) {
    if (text.starts_with(pattern.start)) return pattern.shape;
  }
  return Shape::kOtherBug;
}

// "CPU: 0 PID: 77 at mm/foo.c:123 f+0x1/0x2"; since 6.19 "mm/foo.c:123 at f+0x1/0x2, CPU#0:
// comm/77"
Shape warning_shape(std::string_view text) {
  if (text.starts_with("CPU: ") && contains(text, " PID: ") && contains(text, " at ")) {
    return Shape::kWarning;
  }
  if (contains(text, " at ") && contains(text, ", CPU#")) return Shape::kWarning;
  if (text.ends_with(" still has locks held!")) return Shape::kLockdep;
  return first_match(text, kWarnings);
}

Shape info_shape(std::string_view text) {
  if (text.starts_with("task ") && contains(text, " blocked ") &&
      contains(text, " for more than ")) {
    return Shape::kHungTask;
  }
  if (text.starts_with("rcu") &&
      (contains(text, " detected stall") || contains(text, " detected expedited stall") ||
       contains(text, " self-detected stall"))) {
    return Shape::kRcuStall;
  }
  return text.starts_with("trying to register non-static key") ? Shape::kLockdep : Shape::kNone;
}

bool is_table_entry(std::string_view text) {
  return text.starts_with("bad pgd ") || text.starts_with("bad p4d ") ||
         text.starts_with("bad pud ") || text.starts_with("bad pmd ");
}

bool is_swap_entry(std::string_view text) {
  return text.starts_with("Bad swap file entry ") || text.starts_with("Bad swap offset entry ") ||
         text.starts_with("Unused swap file entry ") ||
         text.starts_with("Unused swap offset entry ");
}

// What only a word behind the name of a file, function or task tells:
//   mm/pgtable-generic.c:50: bad pmd 00000000c0ffee00(8000...)
//   _swap_info_get: Bad swap file entry 3fff...
//   faulter: Corrupted page table at address 7f2c4a000000
//   faulter invoked oom-killer: gfp_mask=...
Shape colon_shape(std::string_view text) {
  for (std::size_t colon = text.find(": "); colon != std::string_view::npos;
       colon = text.find(": ", colon + 1)) {
    const std::string_view before = text.substr(0, colon);
    const std::string_view behind = text.substr(colon + 2);
    if (before.ends_with(" invoked oom-killer")) return Shape::kOutOfMemory;
    if (behind.starts_with("Corrupted page table at address ")) return Shape::kPageTable;
    if (is_swap_entry(behind)) return Shape::kBadEntry;
    if (is_table_entry(behind) && contains(before, ".c:")) return Shape::kBadEntry;
  }
  return Shape::kNone;
}

Shape memory_shape(std::string_view text) {
  if (text.starts_with("Out of memory: Killed process") || text.starts_with("Out of memory (") ||
      text.starts_with("Out of memory and no killable processes")) {
    return Shape::kOutOfMemory;
  }
  if (text.starts_with("list_add corruption") || text.starts_with("list_del corruption")) {
    return Shape::kListCorruption;
  }
  if (text.starts_with("BUG ") && contains(text, "ainted") && contains(text, "): ")) {
    return Shape::kSlub;
  }
  if (text.starts_with("pagealloc: memory corruption") ||
      text.starts_with("pagealloc: single bit error")) {
    return Shape::kOtherBug;
  }
  return colon_shape(text);
}

bool is_prelude(std::string_view text) {
  if (text.starts_with(kCutHere) || text.starts_with("==========")) return true;
  if (text.starts_with("page:") || text.starts_with("page: ")) return contains(text, "refcount:");
  return (text.starts_with("vma ") && contains(text, " start ")) ||
         (text.starts_with("mm ") && contains(text, " task_size "));
}

bool is_nmi(std::string_view text) {
  return text.starts_with("NMI backtrace for cpu ") ||
         text.starts_with("Uhhuh. NMI received for unknown reason");
}

}  // namespace

std::string_view die_name(std::string_view text) {
  drop(text, "traps: ");
  if (text.starts_with("PANIC: double fault")) return "double fault";
  if (!contains(text, "[#")) return {};
  const bool oops = text.starts_with("Oops: ") || text.starts_with("Oops[");
  drop(text, "Oops: ");
  drop(text, "Oops: ");
  for (const Trap& trap : kTraps) {
    if (text.starts_with(trap.start)) return trap.name;
  }
  return oops ? "Oops" : "";
}

ReportShape shape_of(std::string_view text) {
  if (text.size() < 8) return Shape::kNone;
  if (is_prelude(text)) return Shape::kPrelude;
  if (text.starts_with(kPanicLine)) {
    return is_nmi_panic(text)             ? Shape::kNmi
           : is_out_of_memory_panic(text) ? Shape::kOutOfMemory
                                          : Shape::kPanic;
  }
  if (text.starts_with("PANIC: early exception")) return Shape::kPanic;
  if (!die_name(text).empty()) return Shape::kDie;
  if (is_nmi(text)) return Shape::kNmi;
  drop(text, "NMI ");
  drop(text, "watchdog: ");
  if (text.starts_with("Watchdog detected hard LOCKUP on cpu")) return Shape::kHardLockup;
  drop(text, "rcu: ");
  drop(text, "[ ");
  if (text.starts_with("BUG: ")) return bug_shape(text.substr(5));
  if (text.starts_with("WARNING: ")) return warning_shape(text.substr(9));
  if (text.starts_with("INFO: ")) return info_shape(text.substr(6));
  if (text.starts_with("UBSAN: ")) return Shape::kUbsan;
  if (text.starts_with("kernel BUG at ")) return Shape::kKernelBug;
  return memory_shape(text);
}

std::string_view kind_of(ReportShape shape) {
  switch (shape) {
    case Shape::kNone:
    case Shape::kPrelude:
      return "";
    case Shape::kWarning:
      return "warning";
    case Shape::kKernelBug:
    case Shape::kBadPage:
    case Shape::kBadEntry:
    case Shape::kListCorruption:
    case Shape::kSlub:
    case Shape::kOtherBug:
      return "kernel-bug";
    case Shape::kNullDereference:
    case Shape::kPagingRequest:
    case Shape::kPageTable:
    case Shape::kDie:
      return "oops";
    case Shape::kKasan:
      return "kasan";
    case Shape::kKfence:
      return "kfence";
    case Shape::kKmsan:
      return "kmsan";
    case Shape::kKcsan:
      return "kcsan";
    case Shape::kUbsan:
      return "ubsan";
    case Shape::kHungTask:
      return "hung-task";
    case Shape::kRcuStall:
      return "rcu-stall";
    case Shape::kSoftLockup:
      return "soft-lockup";
    case Shape::kHardLockup:
      return "hard-lockup";
    case Shape::kSleepInAtomic:
    case Shape::kScheduleInAtomic:
      return "atomic-sleep";
    case Shape::kDeadlock:
    case Shape::kInconsistentLock:
    case Shape::kSuspiciousRcu:
    case Shape::kLockdep:
      return "lockdep";
    case Shape::kPanic:
      return "panic";
    case Shape::kOutOfMemory:
      return "oom";
    case Shape::kNmi:
      return "nmi";
  }
  return "";
}

bool is_report_content(std::string_view text) {
  return starts_with_any(text, kContent) || contains(text, " locks held by ") ||
         contains(text, " lock held by ") || contains(text, " is trying to ") ||
         stack_frame(text).has_value();
}

bool is_epilogue(std::string_view text) {
  return starts_with_any(text, kEpilogue);
}

bool is_consequence_panic(std::string_view text) {
  return text.starts_with(kPanicLine) && contains_any(text, kConsequences);
}

bool is_out_of_memory_panic(std::string_view text) {
  return text.starts_with(kPanicLine) && (contains(text, ": System is deadlocked on memory") ||
                                          contains(text, "syncing: Out of memory"));
}

bool is_nmi_panic(std::string_view text) {
  return text.starts_with(kPanicLine) && text.substr(kPanicLine.size()).starts_with(": NMI");
}

bool is_cgroup_out_of_memory(std::string_view text) {
  return text.starts_with("Memory cgroup out of memory") ||
         (text.starts_with("oom-kill:") && contains(text, "constraint=CONSTRAINT_MEMCG"));
}

int patience(ReportShape shape) {
  switch (shape) {
    case Shape::kPrelude:
      return 6;
    case Shape::kOutOfMemory:
      return 1000;  // the table of tasks
    case Shape::kDeadlock:
    case Shape::kInconsistentLock:
    case Shape::kLockdep:
      return 40;
    default:
      return 16;
  }
}

}  // namespace mmquake
