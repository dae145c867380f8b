// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/shrink/shrink.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <set>
#include <string_view>

#include "host/shrink/useful_rate.h"

namespace mmquake {
namespace {

// A trial may take so many times as long as the slowest that found, and is never shorter than that.
constexpr double kPatience = 3;
constexpr double kShortest = 3;
constexpr std::size_t kFewestNodes = 2;
// A start that is found less often than this within the trials of a step is not worth hours.
constexpr std::uint64_t kFewestHits = 2;

// What may stand for an ingredient that needs more: of a kernel, of the machine, or of who reads
// it.
struct StandIn {
  std::string_view word, simpler;
};
constexpr auto kStandIns = std::to_array<StandIn>({
    {"ksm", "anon-4k"},
    {"swap", "anon-4k"},
    {"swap-thp", "anon-thp"},
    {"move_pages-other", "move_pages"},
    {"truncate", "punch-hole"},
    {"mmap-over", "dontneed"},
    {"rxe", "io_uring"},
    {"gup_test-hold", "io_uring"},
});

MachineSpec without_node(const MachineSpec& machine, std::size_t node) {
  const auto at = static_cast<std::ptrdiff_t>(node);
  MachineSpec out = machine;
  out.nodes.erase(out.nodes.begin() + at);
  out.distances.erase(out.distances.begin() + at);
  for (std::vector<int>& row : out.distances) row.erase(row.begin() + at);
  for (DimmSpec& dimm : out.dimms) dimm.node -= dimm.node > static_cast<int>(node) ? 1 : 0;
  return out;
}

void add_machines(const Subject& subject, std::vector<Reduction>& out) {
  const MachineSpec& machine = subject.machine;
  const auto add = [&](std::string what, MachineSpec smaller) {
    Reduction one{std::move(what), subject};
    one.left.machine = std::move(smaller);
    if (one.left.machine.cpus() > 0) out.push_back(std::move(one));
  };
  for (std::size_t node = 0; machine.nodes.size() > kFewestNodes && node < machine.nodes.size();
       ++node) {
    const bool plugged =
        std::any_of(machine.dimms.begin(), machine.dimms.end(),
                    [&](const DimmSpec& dimm) { return dimm.node == static_cast<int>(node); });
    if (!plugged) add(fmt::format("without node {}", node), without_node(machine, node));
  }
  for (std::size_t node = 0; node < machine.nodes.size(); ++node) {
    if (machine.nodes[node].cpus < 2) continue;
    MachineSpec smaller = machine;
    smaller.nodes[node].cpus /= 2;
    add(fmt::format("node {} with {} of its {} CPUs", node, smaller.nodes[node].cpus,
                    machine.nodes[node].cpus),
        smaller);
  }
}

// A delay goes with the last thread that it is for: a role's thread is called as its slot is, and a
// site names the beginning of that.
void follow(std::vector<WidenSite>& widen, Slot gone, const Composition& less) {
  const auto is_for = [](const WidenSite& site, Slot slot) {
    return !site.comm.empty() && to_string(slot).starts_with(site.comm);
  };
  if (gone == Slot::kDisturber && less.has(Slot::kDisturber)) {
    gone = Slot::kDisturber2;  // the second is the first now
    for (WidenSite& site : widen) {
      if (site.comm == to_string(Slot::kDisturber2)) site.comm = to_string(Slot::kDisturber);
    }
  }
  std::erase_if(widen, [&](const WidenSite& site) {
    return is_for(site, gone) && std::none_of(kAllSlots.begin(), kAllSlots.end(), [&](Slot slot) {
             return less.has(slot) && is_for(site, slot);
           });
  });
}

void add_roles(const Subject& subject, std::vector<Reduction>& out) {
  for (const Composition& less : smaller(subject.composition)) {
    Reduction one{"without ", subject};
    one.left.composition = less;
    for (const Slot slot : kAllSlots) {
      const std::string& word = subject.composition[slot];
      if (word == less[slot] || less.disturbed_by(word)) continue;
      one.what += word;
      follow(one.left.widen, slot, less);
    }
    out.push_back(std::move(one));
  }
}

void add_stand_ins(const Subject& subject, std::vector<Reduction>& out) {
  for (const Slot slot : kAllSlots) {
    for (const StandIn& one : kStandIns) {
      if (subject.composition[slot] != one.word) continue;
      Reduction simpler{fmt::format("{} instead of {}", one.simpler, one.word), subject};
      simpler.left.composition.set(slot, one.simpler);
      if (!objection(simpler.left.composition)) out.push_back(std::move(simpler));
    }
  }
}

// Runs the trials and keeps the count.
class Search {
 public:
  Search(Shrunk& out, std::uint64_t most, const RunTrial& run)
      : out_(out), most_(most), run_(run) {}

  // Of the start. An error of kind kSkipped: it cannot be run, or finds too seldom.
  Result<> measure(const Subject& start) {
    RateMeasure measure;
    while (!measure.is_done() && out_.trials < most_) {
      auto seen = look(start);
      if (!seen) return tl::make_unexpected(seen.error());
      if (seen->says == Glimpse::Says::kCannot) return skipped("the start cannot be run");
      if (seen->says == Glimpse::Says::kOther) continue;
      measure.feed(seen->says == Glimpse::Says::kFound);
      slowest_ = std::max(slowest_, seen->seconds);
    }
    if (measure.hits() < kFewestHits) {
      return skipped(fmt::format("found in {} of {} trials: too seldom to be shrunk",
                                 measure.hits(), out_.trials));
    }
    out_.chance = measure.chance();
    return {};
  }

  // Is what is left good enough?
  Result<ShrinkStep> judge(const Reduction& reduction) {
    ShrinkStep step{reduction.what, false, ""};
    RateTest test = test_against(out_.chance);
    std::uint64_t trials = 0;
    std::uint64_t hits = 0;
    double slowest = 0;
    while (!test.answer() && trials < most_) {
      auto seen = look(reduction.left);
      if (!seen) return tl::make_unexpected(seen.error());
      ++trials;
      if (seen->says == Glimpse::Says::kCannot) {
        step.why = "cannot be run";
        return step;
      }
      if (seen->says == Glimpse::Says::kOther) continue;
      const bool found = seen->says == Glimpse::Says::kFound;
      hits += found ? 1 : 0;
      slowest = std::max(slowest, seen->seconds);
      test.feed(found);
    }
    step.taken = test.answer().value_or(false);
    step.why = fmt::format("found in {} of {} trials{}", hits, trials,
                           test.answer() ? "" : ", which decides nothing");
    if (step.taken) slowest_ = slowest;  // what is left may be quicker than the start
    return step;
  }

  double slowest_hit() const { return slowest_; }

 private:
  Result<Glimpse> look(const Subject& subject) {
    ++out_.trials;
    return run_(subject);
  }

  Shrunk& out_;
  std::uint64_t most_;
  const RunTrial& run_;
  double slowest_ = 0;
};

}  // namespace

std::vector<Reduction> reductions(const Subject& subject,
                                  const std::map<std::string, std::string>& defaults,
                                  double slowest_hit) {
  std::vector<Reduction> out;
  const double enough = std::max(kShortest, std::ceil(kPatience * slowest_hit));
  if (slowest_hit > 0 && enough <= subject.seconds / 2) {
    out.push_back({fmt::format("{} s instead of {}", enough, subject.seconds), subject});
    out.back().left.seconds = enough;
  }
  add_roles(subject, out);
  add_stand_ins(subject, out);
  for (std::size_t i = 0; i < subject.widen.size(); ++i) {
    out.push_back({fmt::format("without the delay at {}", subject.widen[i].site), subject});
    out.back().left.widen.erase(out.back().left.widen.begin() + static_cast<std::ptrdiff_t>(i));
  }
  for (const auto& [key, value] : subject.params) {
    const auto usual = defaults.find(key);
    if (usual == defaults.end() || usual->second == value) continue;
    out.push_back({fmt::format("{}={}", key, usual->second), subject});
    out.back().left.params.erase(key);
  }
  add_machines(subject, out);
  return out;
}

Result<Shrunk> shrink(const Subject& start, const std::map<std::string, std::string>& defaults,
                      std::uint64_t most, const RunTrial& run,
                      const std::function<void(const ShrinkStep&)>& told) {
  Shrunk out;
  out.smallest = start;
  Search search(out, most, run);
  if (auto measured = search.measure(start); !measured) {
    return tl::make_unexpected(measured.error());
  }
  std::set<std::string> refused;
  bool smaller_since = false;
  for (;;) {
    const std::vector<Reduction> all = reductions(out.smallest, defaults, search.slowest_hit());
    const auto next = std::find_if(
        all.begin(), all.end(), [&](const Reduction& one) { return !refused.contains(one.what); });
    if (next == all.end()) {
      if (!smaller_since || all.empty()) return out;
      refused.clear();
      smaller_since = false;
      continue;
    }
    auto step = search.judge(*next);
    if (!step) return tl::make_unexpected(step.error());
    told(*step);
    out.steps.push_back(*step);
    if (!step->taken) {
      refused.insert(step->what);
      continue;
    }
    out.smallest = next->left;
    smaller_since = !refused.empty();
  }
}

}  // namespace mmquake
