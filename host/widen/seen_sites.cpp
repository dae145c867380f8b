// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/widen/seen_sites.h"

#include <algorithm>
#include <array>
#include <set>
#include <string_view>
#include <utility>

namespace mmquake {
namespace {

constexpr std::uint64_t kRareSide = 20;  // a side with less than one stack in so many is left out

// The way into the kernel, which each call takes.
constexpr auto kGlue = std::to_array<std::string_view>(
    {"entry_SYSCALL_64", "do_syscall_64", "x64_sys_call", "asm_exc_", "ret_from_fork", "kthread"});
// What comes between, and has nothing to do with who was interrupted.
constexpr auto kInterrupts =
    std::to_array<std::string_view>({"asm_sysvec_", "asm_common_interrupt", "sysvec_",
                                     "common_interrupt", "asm_exc_nmi", "exc_nmi"});
constexpr auto kWaiting = std::to_array<std::string_view>(
    {"default_idle", "cpu_idle", "do_idle", "cpu_startup_entry", "start_secondary", "rest_init",
     "secondary_startup", "schedule", "__schedule", "preempt_schedule", "__cond_resched",
     "finish_task_switch", "__switch_to", "native_", "kvm_", "udelay", "__delay", "delay_",
     // Who works for all, and the way back.
     "worker_thread", "rcu_", "smpboot_thread_fn", "syscall_exit_to_user_mode",
     "exit_to_user_mode"});

// How roles wait for each other, and what everybody calls all the time.
constexpr auto kPastimes = std::to_array<std::string_view>(
    {"__x64_sys_futex", "__x64_sys_clock_", "__x64_sys_sched_yield", "__x64_sys_nanosleep",
     "__x64_sys_poll", "__x64_sys_ppoll", "__x64_sys_gettid", "__x64_sys_getpid"});
constexpr auto kHelpers = std::to_array<std::string_view>(
    {"queued_spin_", "_raw_spin_", "__raw_spin", "send_call_function_", "__smp_call_", "smp_call_",
     "read_hpet", "ktime_", "clear_page", "copy_page", "rep_", "memcpy", "memset", "__mem", "ttwu_",
     "try_to_wake_up", "on_each_cpu", "__rcu_", "up_", "down_", "mutex_", "osq_", "rwsem_",
     "rcuwait_",
     // Who is held up there might as well be in the caller.
     "kmem_cache_", "__kmem_", "kmalloc", "__kmalloc", "kfree", "kvfree", "___slab", "__slab",
     "get_partial", "mas_", "mt_", "rb_", "__rb_", "xas_", "list_", "__list_", "security_",
     "trace_", "hrtimer_", "timer", "tick_", "lapic_", "wake_up", "__wake_up", "_printk", "__warn",
     "__fentry__", "__x86_", "__SCT__", "__static_", "schedule", "__cond_", "seqcount_"});

template <std::size_t N>
bool begins_with(std::string_view name, const std::array<std::string_view, N>& beginnings) {
  return std::any_of(beginnings.begin(), beginnings.end(),
                     [&](std::string_view one) { return name.starts_with(one); });
}

// What is left of a stack: outermost first, from the side's name on.
std::vector<std::string_view> own_part(const NamedStack& stack) {
  std::vector<std::string_view> out;
  for (auto at = stack.rbegin(); at != stack.rend(); ++at) {
    if (begins_with(*at, kInterrupts)) break;  // the rest is the interrupt's
    if (!at->empty() && !begins_with(*at, kGlue)) out.emplace_back(*at);
  }
  return out;
}

struct Side {
  std::map<std::string, std::pair<std::uint64_t, std::uint64_t>> functions;  // stacks, depths
  std::uint64_t stacks = 0;
};

// What is on many stacks, and deep: every stack has the outermost function, where nothing has
// begun.
std::vector<SiteSeen> ranked(const std::string& name, const Side& side) {
  std::vector<std::pair<std::uint64_t, SiteSeen>> rows;
  for (const auto& [function, seen] : side.functions) {
    rows.emplace_back(seen.first + seen.second, SiteSeen{function, name, seen.first});
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<SiteSeen> out;
  out.reserve(rows.size());
  for (auto& [score, row] : rows) out.push_back(std::move(row));
  return out;
}

}  // namespace

std::vector<SiteSeen> sites_seen(const std::vector<NamedStack>& stacks, std::size_t most) {
  std::map<std::string, Side> sides;
  for (const NamedStack& stack : stacks) {
    const std::vector<std::string_view> own = own_part(stack);
    if (own.empty() || begins_with(own.front(), kWaiting) || begins_with(own.front(), kPastimes)) {
      continue;
    }
    Side& side = sides[std::string(own.front())];
    ++side.stacks;
    for (std::size_t depth = 0; depth < own.size(); ++depth) {
      if (begins_with(own[depth], kWaiting)) break;
      if (begins_with(own[depth], kHelpers)) continue;
      auto& seen = side.functions[std::string(own[depth])];
      ++seen.first;
      seen.second += depth;
    }
  }
  std::uint64_t all = 0;
  for (const auto& [name, side] : sides) all += side.stacks;
  std::vector<std::vector<SiteSeen>> rows;
  for (const auto& [name, side] : sides) {
    if (side.stacks * kRareSide >= all) rows.push_back(ranked(name, side));
  }
  std::sort(rows.begin(), rows.end(), [&](const auto& a, const auto& b) {
    return sides[a.front().side].stacks > sides[b.front().side].stacks;
  });
  std::vector<SiteSeen> out;
  for (std::size_t rank = 0; out.size() < most; ++rank) {
    const std::size_t before = out.size();
    for (const auto& row : rows) {
      if (rank >= row.size()) continue;
      const bool is_there = std::any_of(out.begin(), out.end(), [&](const SiteSeen& seen) {
        return seen.function == row[rank].function;
      });
      if (!is_there && out.size() < most) out.push_back(row[rank]);
    }
    const bool more = std::any_of(rows.begin(), rows.end(),
                                  [&](const auto& row) { return rank + 1 < row.size(); });
    if (out.size() == before && !more) break;
  }
  return out;
}

namespace {

// What was not counted before.
std::vector<SiteSeen> callees_of(const std::vector<SiteSeen>& callers, const Callees& callees,
                                 std::set<std::string>& known) {
  std::vector<SiteSeen> out;
  for (const SiteSeen& caller : callers) {
    for (std::string& function : callees(caller.function)) {
      if (begins_with(function, kHelpers) || begins_with(function, kWaiting) ||
          begins_with(function, kInterrupts) || !known.insert(function).second) {
        continue;
      }
      out.push_back({.function = std::move(function), .side = caller.side});
    }
  }
  return out;
}

}  // namespace

Result<std::vector<SiteSeen>> sites_that_run(const std::vector<SiteSeen>& seen,
                                             const Callees& callees, const CountCalls& count,
                                             std::size_t most) {
  std::set<std::string> known;
  for (const SiteSeen& site : seen) known.insert(site.function);
  std::vector<SiteSeen> out;
  std::vector<SiteSeen> wave = seen;
  while (!wave.empty() && out.size() < most) {
    std::vector<SiteSeen> ran;
    for (std::size_t at = 0; at < wave.size() && out.size() + ran.size() < most;
         at += kMostCounted) {
      const std::size_t end = std::min(wave.size(), at + kMostCounted);
      const std::vector<SiteSeen> part(wave.begin() + static_cast<std::ptrdiff_t>(at),
                                       wave.begin() + static_cast<std::ptrdiff_t>(end));
      auto calls = count(part);
      if (!calls) return tl::make_unexpected(calls.error());
      for (SiteSeen site : part) {
        site.calls = (*calls)[site.function];
        if (site.calls > 0) ran.push_back(std::move(site));
      }
    }
    out.insert(out.end(), ran.begin(), ran.end());
    wave = callees_of(ran, callees, known);
  }
  out.resize(std::min(out.size(), most));
  return out;
}

}  // namespace mmquake
