// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/widen/site_search.h"

#include <algorithm>
#include <array>
#include <random>
#include <string_view>
#include <tuple>
#include <utility>

namespace mmquake {
namespace {

constexpr double kPriorHits = 0.5;
constexpr double kPriorMisses = 2;
constexpr std::uint64_t kRareSide = 20;  // a side with less than one stack in so many is left out
constexpr std::size_t kSecondSites = 8;  // that are tried beside the first

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
    {"queued_spin_", "_raw_spin_", "__raw_spin", "send_call_function_",
     "__smp_call_",  "smp_call_",  "read_hpet",  "ktime_",
     "clear_page",   "copy_page",  "rep_",       "memcpy",
     "memset",       "__mem",      "ttwu_",      "try_to_wake_up",
     "on_each_cpu",  "__rcu_",     "up_",        "down_",
     "mutex_",       "osq_"});

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

double draw_chance(const SiteArm& arm, std::mt19937_64& random) {
  const auto hits = static_cast<double>(arm.hits);
  const auto misses = static_cast<double>(arm.trials - arm.hits);
  const double a = std::gamma_distribution<double>(kPriorHits + hits)(random);
  const double b = std::gamma_distribution<double>(kPriorMisses + misses)(random);
  return a / (a + b);
}

// Of those that can be tried; nullptr: none.
SiteArm* drawn_best(std::vector<SiteArm>& arms, const SiteArm* but, std::mt19937_64& random) {
  SiteArm* best = nullptr;
  double highest = -1;
  for (SiteArm& arm : arms) {
    if (arm.cannot || &arm == but) continue;
    const double chance = draw_chance(arm, random);
    if (chance > highest) {
      highest = chance;
      best = &arm;
    }
  }
  return best;
}

WidenSite site_at(const std::string& function, std::uint64_t min_us, std::uint64_t max_us,
                  double probability) {
  WidenSite site;
  site.site = function;
  site.min_us = min_us;
  site.max_us = max_us;
  site.probability = probability;
  return site;
}

SiteArm with_site(const SiteArm& arm, WidenSite site) {
  SiteArm out;
  out.sites = arm.sites;
  out.sites.push_back(std::move(site));
  return out;
}

// From a rare long wait to a short one that everybody takes.
std::vector<SiteArm> other_delays(const SiteArm& arm) {
  std::vector<SiteArm> out{arm};
  struct Delay {
    std::uint64_t min_us, max_us;
    double probability;
  };
  for (const auto& [min_us, max_us, probability] :
       {Delay{0, 200, 0.5}, Delay{0, 1000, 1}, Delay{0, 10000, 0.1}, Delay{0, 10000, 0.7},
        Delay{5000, 30000, 0.3}}) {
    SiteArm other;
    other.sites = arm.sites;
    other.sites.back().min_us = min_us;
    other.sites.back().max_us = max_us;
    other.sites.back().probability = probability;
    out.push_back(std::move(other));
  }
  return out;
}

// Those of other sides come first.
std::vector<SiteArm> with_a_second(const SiteArm& arm, const std::vector<SiteSeen>& sites) {
  const std::string& first = arm.sites.front().site;
  const auto own = std::find_if(sites.begin(), sites.end(),
                                [&](const SiteSeen& seen) { return seen.function == first; });
  std::vector<SiteSeen> others;
  std::copy_if(sites.begin(), sites.end(), std::back_inserter(others),
               [&](const SiteSeen& seen) { return seen.function != first; });
  std::stable_partition(others.begin(), others.end(), [&](const SiteSeen& seen) {
    return own == sites.end() || seen.side != own->side;
  });
  others.resize(std::min(others.size(), kSecondSites));
  std::vector<SiteArm> out{arm};
  for (const SiteSeen& seen : others) {
    out.push_back(with_site(arm, site_at(seen.function, 0, 3000, 0.3)));
  }
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

double SiteArm::expected() const {
  return (kPriorHits + static_cast<double>(hits)) /
         (kPriorHits + kPriorMisses + static_cast<double>(trials));
}

Result<std::vector<SiteArm>> best_arms(std::vector<SiteArm> arms, std::uint64_t trials,
                                       std::uint64_t seed, const TrySites& run,
                                       const std::function<void(const SiteArm&)>& told) {
  std::mt19937_64 random(seed);
  for (std::uint64_t trial = 0; trial < trials; ++trial) {
    SiteArm* arm = drawn_best(arms, nullptr, random);
    if (arm == nullptr) break;
    if (random() % 2 != 0) {
      SiteArm* second = drawn_best(arms, arm, random);
      arm = second == nullptr ? arm : second;
    }
    auto seen = run(arm->sites);
    if (!seen) return tl::make_unexpected(seen.error());
    if (seen->says == Glimpse::Says::kCannot) {
      arm->cannot = true;
    } else {
      ++arm->trials;
      arm->hits += seen->says == Glimpse::Says::kFound ? 1 : 0;
    }
    told(*arm);
  }
  std::stable_sort(arms.begin(), arms.end(), [](const SiteArm& a, const SiteArm& b) {
    return std::pair(a.cannot, -a.expected()) < std::pair(b.cannot, -b.expected());
  });
  return arms;
}

Result<SiteArm> search_sites(const SiteSearch& search, const TrySites& run,
                             const std::function<void(const SiteArm&)>& told) {
  SiteArm best;
  std::vector<SiteArm> arms{best};
  for (const SiteSeen& seen : search.sites) {
    arms.push_back(with_site(best, site_at(seen.function, 0, 3000, 0.3)));
  }
  std::uint64_t seed = search.seed;
  const auto step = [&](std::vector<SiteArm> choices, std::uint64_t trials) -> Result<> {
    auto sorted = best_arms(std::move(choices), trials, seed++, run, told);
    if (!sorted) return tl::make_unexpected(sorted.error());
    best = sorted->front();
    return {};
  };
  if (auto done = step(std::move(arms), search.trials / 2); !done) {
    return tl::make_unexpected(done.error());
  }
  if (best.sites.empty()) return best;
  if (auto done = step(other_delays(best), search.trials / 4); !done) {
    return tl::make_unexpected(done.error());
  }
  if (auto done = step(with_a_second(best, search.sites), search.trials / 4); !done) {
    return tl::make_unexpected(done.error());
  }
  return best;
}

}  // namespace mmquake
