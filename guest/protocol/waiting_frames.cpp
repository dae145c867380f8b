// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/protocol/waiting_frames.h"

#include <algorithm>
#include <array>

namespace mmquake {
namespace {

constexpr auto kPrefixes = std::to_array<std::string_view>({
    "__schedule",
    "schedule",
    "io_schedule",
    "preempt_schedule",
    "__cond_resched",
    "_cond_resched",
    "context_switch",
    "__switch_to",
    "do_wait_for_",
    "wait_for_common",
    "wait_for_completion",
    "__wait_for_common",
    "bit_wait",
    "__wait_on_bit",
    "out_of_line_wait",
    "futex_",
    "do_futex",
    "__futex_",
    "rwsem_",
    "__rwsem_",
    "down_",
    "__down",
    "mutex_lock",
    "__mutex_lock",
    "rt_mutex",
    "__rt_mutex",
    "rwbase_",
    "percpu_rwsem",
    "percpu_down",
    "__percpu_",
    "prepare_to_wait",
    "finish_wait",
    "do_nanosleep",
    "hrtimer_nanosleep",
    "common_nsleep",
    "irqentry_",
    "irqtime_",
    "asm_",
    "exc_",
    "sysvec_",
    "ret_from_fork",
    "entry_SYSCALL",
    "folio_wait_bit",
    "wait_on_page_bit",
    "__folio_lock",
    "__lock_page",
    "poll_schedule",
    "_raw_spin",
    "_raw_read",
    "_raw_write",
    "__raw_",
    "do_raw_",
    "queued_spin",
    "queued_read",
    "queued_write",
    "native_queued_spin",
    "__pv_queued",
    "pv_native",
    "stack_trace_",
    "arch_stack_walk",
    "syscall_exit",
    "exit_to_user",
    "do_syscall_",
    "x64_sys_call",
    "finish_task_switch",
    "smp_call_function",
    "on_each_cpu",
    "csd_lock_wait",
});
constexpr auto kNames = std::to_array<std::string_view>({"kthread", "cpu_relax", "rep_nop"});

}  // namespace

bool is_waiting_frame(std::string_view function) {
  // The first character alone rules most of them out.
  return !function.empty() && (std::any_of(kPrefixes.begin(), kPrefixes.end(),
                                           [&](std::string_view prefix) {
                                             return function[0] == prefix[0] &&
                                                    function.starts_with(prefix);
                                           }) ||
                               std::find(kNames.begin(), kNames.end(), function) != kNames.end());
}

}  // namespace mmquake
