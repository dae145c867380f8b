// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/console/blame.h"

#include <algorithm>
#include <array>
#include <span>

#include "guest/protocol/waiting_frames.h"
#include "host/console/console.h"
#include "host/console/printk_line.h"

namespace mmquake {
namespace {

using Names = std::span<const std::string_view>;

// The first character alone rules most of them out.
bool has_prefix_of(std::string_view name, Names prefixes) {
  return !name.empty() && std::any_of(prefixes.begin(), prefixes.end(), [&](std::string_view p) {
    return name[0] == p[0] && name.starts_with(p);
  });
}

bool is_one_of(std::string_view name, Names names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Prints, traps and checks: on top of the function that is really meant.
constexpr auto kReportingPrefixes = std::to_array<std::string_view>({
    "dump_stack",
    "show_stack",
    "show_regs",
    "show_trace",
    "warn_slowpath",
    "__warn",
    "report_bug",
    "handle_bug",
    "__sysvec",
    "do_error_trap",
    "do_invalid_op",
    "page_fault_oops",
    "bad_area",
    "__bad_area",
    "kernelmode_fixup",
    "print_report",
    "print_address_description",
    "kasan_",
    "__kasan_",
    "__asan_",
    "__hwasan",
    "kfence_",
    "__kfence_",
    "kmsan_",
    "__msan_",
    "kcsan_",
    "__tsan_",
    "ubsan_",
    "__ubsan_",
    "lockdep_",
    "print_circular_bug",
    "check_noncircular",
    "check_prev",
    "validate_chain",
    "lock_acquire",
    "lock_release",
    "__lock_acquire",
    "__lock_release",
    "print_usage_bug",
    "mark_lock",
    "mark_usage",
    "print_bad_irq",
    "debug_check_no_locks",
    "register_lock_class",
    "debug_print_",
    "debug_object_",
    "refcount_",
    "__refcount_",
    "kref_",
    "__might_",
    "___might_",
    "__schedule_bug",
    "watchdog_",
    "perf_event",
    "__perf_event",
    "handle_pmi",
    "intel_pmu_handle",
    "nmi_",
    "default_do_nmi",
    "end_repeat_nmi",
    "first_nmi",
    "unknown_nmi",
    "trigger_all_cpu",
    "arch_trigger",
    "rcu_dump_cpu",
    "print_cpu_stall",
    "print_other_cpu_stall",
    "check_cpu_stall",
    "rcu_sched_clock_irq",
    "update_process_times",
    "tick_",
    "__hrtimer",
    "hrtimer_",
    "local_apic_timer",
    "print_unlock",
    "print_lock_",
    "slab_err",
    "slab_fix",
    "object_err",
    "check_bytes_and_report",
    "check_preemption_disabled",
    "debug_smp_processor_id",
});
constexpr auto kReporting = std::to_array<std::string_view>({
    "panic",
    "vpanic",
    "die",
    "die_addr",
    "__die",
    "oops_end",
    "no_context",
    "do_trap",
    "invalid_op",
    "fixup_bug",
    "page_fault",
    "general_protection",
    "divide_error",
    "double_fault",
    "do_user_addr_fault",
    "do_kern_addr_fault",
    "search_exception_tables",
    "check_memory_region",
    "print_trailer",
    "check_object",
    "check_slab",
    "free_debug_processing",
    "alloc_debug_processing",
    "dump_page",
    "__dump_page",
    "__dump_folio",
    "bad_page",
    "print_bad_pte",
    "vm_normal_page",
    "vm_normal_folio",
    "print_bad_page_map",
    "list_del",
    "list_add",
    "list_move",
    "__list_add_valid",
    "__list_del_entry_valid",
    "__list_add_valid_or_report",
    "__list_del_entry_valid_or_report",
    "__list_del_entry",
    "spin_bug",
    "spin_dump",
    "rcu_pending",
    "__rcu_pending",
});

// Copies and clears on behalf of its caller.
constexpr auto kCopying = std::to_array<std::string_view>({
    "memcpy",
    "__memcpy",
    "memcpy_orig",
    "memcpy_erms",
    "memset",
    "__memset",
    "memset_orig",
    "memset_erms",
    "memmove",
    "__memmove",
    "memmove_erms",
    "memcmp",
    "memchr",
    "memchr_inv",
    "strlen",
    "strnlen",
    "strcmp",
    "strncmp",
    "strcpy",
    "strscpy",
    "copy_page",
    "copy_page_regs",
    "copy_mc_to_kernel",
    "copy_mc_fragile",
    "copy_mc_enhanced_fast_string",
    "clear_page_rep",
    "clear_page_orig",
    "clear_page_erms",
    "copy_user_enhanced_fast_string",
    "copy_user_generic_string",
    "copy_user_generic_unrolled",
    "copy_user_short_string",
    "__copy_user_nocache",
    "_copy_to_user",
    "_copy_from_user",
    "rep_movs_alternative",
    "rep_stos_alternative",
});

constexpr auto kAllocatorPrefixes = std::to_array<std::string_view>({
    "kmalloc",
    "__kmalloc",
    "kzalloc",
    "kfree",
    "kmem_cache_",
    "__kmem_cache",
    "slab_",
    "__slab",
    "___slab",
    "new_slab",
    "allocate_slab",
    "alloc_pages",
    "__alloc_pages",
    "__folio_alloc",
    "get_page_from_freelist",
    "rmqueue",
    "check_new_page",
    "check_free_page",
    "free_page_is_bad",
    "free_pages_prepare",
    "free_pcp_prepare",
    "free_unref_page",
    "__free_pages",
    "free_pages",
    "free_tail_page",
    "__free_frozen",
    "prep_new_page",
    "bad_range",
    "kvmalloc",
    "vmalloc",
});

constexpr auto kIdlePrefixes = std::to_array<std::string_view>({
    "default_idle",
    "native_safe_halt",
    "pv_native_safe_halt",
    "acpi_idle",
    "acpi_safe_halt",
    "mwait_idle",
    "intel_idle",
    "poll_idle",
    "cpu_idle_poll",
    "amd_e400_idle",
    "arch_cpu_idle",
    "cpuidle_",
    "do_idle",
    "cpu_startup_entry",
    "native_halt",
});

bool is_skipped(Blame policy, std::string_view name) {
  if (has_prefix_of(name, kReportingPrefixes) || is_one_of(name, kReporting)) return true;
  if (is_waiting_frame(name) || is_one_of(name, kCopying)) return true;
  return policy == Blame::kTrace && has_prefix_of(name, kAllocatorPrefixes);
}

// Hands the lines of a log out, without their prefixes.
class Lines {
 public:
  explicit Lines(std::string_view log) : log_(log) {}
  bool next(std::string_view& text) {
    if (log_.empty()) return false;
    const std::size_t end = std::min(log_.find('\n'), log_.size());
    text = parse_printk_line(log_.substr(0, end)).text;
    log_.remove_prefix(std::min(end + 1, log_.size()));
    return true;
  }

 private:
  std::string_view log_;
};

// The best so far: a function that may be blamed, else the first one seen at all.
class Candidates {
 public:
  explicit Candidates(Blame policy) : policy_(policy) {}
  // True when the search is over.
  bool offer(std::string_view function) {
    const std::string_view name = base_name(function);
    if (name.empty() || !found_.empty()) return false;
    if (first_.empty()) first_ = name;
    if (is_skipped(policy_, name)) return false;
    found_ = name;
    return true;
  }
  std::string_view best() const { return found_.empty() ? first_ : found_; }

 private:
  Blame policy_;
  std::string_view first_, found_;
};

bool starts_cpu(std::string_view text) {
  return text.starts_with("NMI backtrace for cpu ") || text.starts_with("task:") ||
         text.starts_with("CPU: ");
}

// What the CPUs of a log ran. A CPU's section begins with its RIP: what is above it are the
// frames of the interrupt that printed it. A second RIP is what was interrupted: if that is the
// idle loop, the CPU was idle, and only an interrupt passed through.
class Cpus {
 public:
  void take(std::string_view text) {
    if (starts_cpu(text)) {
      end_cpu();
    } else if (const std::string_view rip = kernel_rip(text); !rip.empty()) {
      if (has_prefix_of(rip, kIdlePrefixes)) {
        is_idle_ = true;
        idle_.offer(rip);
      } else {
        in_kernel_ = true;
        current_.offer(rip);
      }
    } else if (const auto frame = stack_frame(text); in_kernel_ && frame && frame->reliable) {
      current_.offer(frame->function);
    }
  }
  void end_cpu() {
    if (!is_idle_ && busy_.empty()) busy_ = current_.best();
    current_ = Candidates(Blame::kCpu);
    is_idle_ = in_kernel_ = false;
  }
  // Of the first CPU that was not idle.
  std::string_view busy() const { return busy_; }
  std::string_view idle() const { return idle_.best(); }

 private:
  Candidates current_{Blame::kCpu}, idle_{Blame::kCpu};
  std::string_view busy_;
  bool is_idle_ = false, in_kernel_ = false;
};

Cpus cpus_of(std::string_view log) {
  Cpus cpus;
  std::string_view text;
  for (Lines lines(log); lines.next(text);) cpus.take(text);
  cpus.end_cpu();
  return cpus;
}

// The frames below the first line that starts with `from`. What is above it (page_owner's stacks,
// "Preemption disabled at:") tells the story of something else.
std::string_view blamed_frame(Blame policy, std::string_view log, std::string_view from) {
  Candidates candidates(policy);
  bool below = false;
  std::string_view text;
  for (Lines lines(log); lines.next(text);) {
    below = below || text.starts_with(from);
    if (!below) continue;
    if (text.starts_with("RIP: ")) {
      if (policy == Blame::kOops && candidates.offer(kernel_rip(text))) break;
      continue;
    }
    const auto frame = stack_frame(text);
    if (frame && frame->reliable && candidates.offer(frame->function)) break;
  }
  return candidates.best();
}

std::string_view blamed_frame(Blame policy, std::string_view log) {
  std::string_view found;
  if (policy == Blame::kOops) found = blamed_frame(policy, log, "RIP: 0010:");
  if (found.empty()) found = blamed_frame(policy, log, "Call Trace");
  return found.empty() ? blamed_frame(policy, log, "") : found;
}

}  // namespace

bool may_be_blamed(Blame policy, std::string_view function) {
  return !is_skipped(policy, base_name(function));
}

std::string_view blamed_function(Blame policy, std::string_view log) {
  if (policy != Blame::kCpu) return blamed_frame(policy, log);
  const Cpus cpus = cpus_of(log);
  if (!cpus.busy().empty()) return cpus.busy();
  // A stalled task, and not a CPU, has no RIP.
  return cpus.idle().empty() ? blamed_frame(Blame::kTask, log) : cpus.idle();
}

std::string_view busy_cpu(std::string_view log) {
  return cpus_of(log).busy();
}

}  // namespace mmquake
