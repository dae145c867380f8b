// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/runner/workload.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "guest/memory/kernel_counters.h"
#include "guest/runner/evidence.h"

namespace mmquake {
namespace {

std::uint64_t split_mix(std::uint64_t& state) {
  state += 0x9e3779b97f4a7c15;
  std::uint64_t z = state;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

std::uint64_t rotl(std::uint64_t x, int k) {
  return (x << k) | (x >> (64 - k));
}

}  // namespace

ParamSpec choice_param(std::string name, std::vector<std::string> choices, std::string help) {
  ParamSpec param;
  param.name = std::move(name);
  param.type = ParamSpec::Type::kChoice;
  param.default_value = choices.front();
  param.choices = std::move(choices);
  param.help = std::move(help);
  return param;
}

ParamSpec known_bugs_param(const std::string& where) {
  return choice_param("known-bugs", {"avoid", "show"},
                      "what unpatched kernels are known to fail at (" + where + ")");
}

bool avoids_known_bugs(const Environment& env) {
  return env.param("known-bugs") == "avoid";
}

Random::Random(std::uint64_t seed, std::string_view stream) {
  std::uint64_t state = seed;
  for (const char c : stream) {
    state = split_mix(state) ^ static_cast<unsigned char>(c);
  }
  for (std::uint64_t& word : s_) {
    word = split_mix(state);
  }
}

std::uint64_t Random::next() {
  const std::uint64_t result = rotl(s_[1] * 5, 7) * 9;
  const std::uint64_t t = s_[1] << 17;
  s_[2] ^= s_[0];
  s_[3] ^= s_[1];
  s_[1] ^= s_[2];
  s_[0] ^= s_[3];
  s_[2] ^= t;
  s_[3] = rotl(s_[3], 45);
  return result;
}

std::uint64_t Random::below(std::uint64_t bound) {
  // Multiply and shift; the rest below the threshold is drawn again, so that it stays even.
  const std::uint64_t threshold = (0 - bound) % bound;
  for (;;) {
    const auto wide = static_cast<unsigned __int128>(next()) * bound;
    if (static_cast<std::uint64_t>(wide) >= threshold) {
      return static_cast<std::uint64_t>(wide >> 64);
    }
  }
}

bool Random::chance(double probability) {
  return std::ldexp(static_cast<double>(next() >> 11), -53) < probability;
}

std::uint64_t Workload::kernel_work() {
  const Result<KernelCounters> counters = read_vmstat();
  // Without it (no such file) nobody is excused.
  return counters ? value_of(*counters, "pgmigrate_success") + value_of(*counters, "pgmigrate_fail")
                  : 0;
}

std::optional<FindingRecord> Workload::judge(const Stuck& stuck) {
  const std::string function = blamed_function(stuck.stack, stuck.wchan);
  // Who sleeps by his own wish waits for a timer, and for nothing of the memory manager's.
  if (function.empty() || stuck.wchan == "hrtimer_nanosleep" ||
      stuck.stack.find("hrtimer_nanosleep+") != std::string::npos) {
    return std::nullopt;
  }
  FindingRecord finding;
  finding.kind = "hang";
  finding.title = "hang in " + function;
  finding.role = stuck.role;
  return finding;
}

Registry& Registry::instance() {
  static Registry registry;
  return registry;
}

void Registry::add(WorkloadInfo info, WorkloadFactory make) {
  const std::string name = info.name;
  if (!entries_.try_emplace(name, Entry{std::move(info), std::move(make)}).second) {
    std::fprintf(stderr, "mmquake: two workloads are called '%s'\n", name.c_str());
    std::abort();
  }
}

const Registry::Entry* Registry::find(std::string_view name) const {
  const auto it = entries_.find(name);
  return it == entries_.end() ? nullptr : &it->second;
}

}  // namespace mmquake
