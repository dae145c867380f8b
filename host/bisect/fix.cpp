// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/bisect/fix.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "host/campaign/rates.h"

namespace mmquake::bisect {
namespace {

Interval unpatched_rate(const Search& search) {
  const Tally& tally = search.tally(kUnpatched);
  return probability_interval(tally.found, tally.found + tally.passed);
}

// Why nothing can be said.
std::string undecided_reason(const Search& search) {
  const std::string& bad = search.tally(kUnpatched).untestable;
  const std::string& patched = search.tally(kPatched).untestable;
  if (!bad.empty()) return "the unpatched kernel cannot be tested: " + bad;
  if (search.end() == SearchEnd::kNotShown) {
    return fmt::format("the unpatched kernel did not show the bug in {} trials",
                       search.tally(kUnpatched).passed);
  }
  if (!patched.empty()) return "the patched kernel cannot be tested: " + patched;
  return "it takes more trials";
}

const char* name_of(FixEnd end) {
  switch (end) {
    case FixEnd::kFixed:
      return "fixed";
    case FixEnd::kNotFixed:
      return "not fixed";
    case FixEnd::kUndecided:
      return "cannot tell";
  }
  return "?";
}

}  // namespace

CommitGraph fix_graph(const std::string& kernel) {
  return CommitGraph({{"patched", kernel, {}}, {"unpatched", kernel, {kPatched}}});
}

SearchSettings fix_settings(double confidence, const std::string& signature) {
  SearchSettings out;
  out.confidence = confidence;
  out.signature = signature;
  out.found_first = kFoundFirst;
  return out;
}

FixAnswer fix_answer(const Search& search) {
  FixAnswer out;
  const Tally& patched = search.tally(kPatched);
  const Tally& unpatched = search.tally(kUnpatched);
  out.by_luck = search.posterior().miss(unpatched.passed, patched.passed);
  out.chance = search.posterior().chances()[kUnpatched];
  if (patched.found > 0 && unpatched.found > 0) {
    out.end = FixEnd::kNotFixed;
    out.by_luck = 0;
  } else if (unpatched.found > 0 && out.chance >= search.settings().confidence) {
    out.end = FixEnd::kFixed;
  } else {
    out.reason = undecided_reason(search);
  }
  return out;
}

std::string fix_text(const Search& search) {
  const FixAnswer answer = fix_answer(search);
  const Tally& patched = search.tally(kPatched);
  const Tally& unpatched = search.tally(kUnpatched);
  std::string out = name_of(answer.end);
  if (answer.end == FixEnd::kUndecided) out += ": " + answer.reason;
  if (answer.end == FixEnd::kFixed) out += fmt::format(" ({:.1f} %)", 100 * answer.chance);
  out += '\n';
  const Interval rate = unpatched_rate(search);
  if (unpatched.found > 0) {
    out += fmt::format("  unpatched  found in {} of {} trials ({:.2f} to {:.2f} at 95 %): {}\n",
                       unpatched.found, unpatched.found + unpatched.passed, rate.low, rate.high,
                       search.signature());
  }
  if (patched.found + patched.passed > 0) {
    out += fmt::format("  patched    found in {} of {} trials", patched.found,
                       patched.found + patched.passed);
    if (patched.found == 0) {
      out +=
          fmt::format("; if it mended nothing, that would come by luck in {:.1f} % of such tests",
                      100 * answer.by_luck);
    }
    out += '\n';
  }
  for (const std::size_t kernel : {kPatched, kUnpatched}) {
    for (const auto& [signature, count] : search.tally(kernel).foreign) {
      out += fmt::format("  another bug, no vote: {} ({} times, {})\n", signature, count,
                         search.graph().commit(kernel).id);
    }
  }
  return out;
}

nlohmann::json fix_json(const Search& search) {
  const FixAnswer answer = fix_answer(search);
  const Interval rate = unpatched_rate(search);
  const auto side = [&](std::size_t kernel) -> nlohmann::json {
    const Tally& tally = search.tally(kernel);
    return {{"found", tally.found},
            {"passed", tally.passed},
            {"broken", tally.broken},
            {"other_signatures", tally.foreign},
            {"untestable", tally.untestable}};
  };
  return {{"result", name_of(answer.end)},
          {"reason", answer.reason},
          {"confidence", search.settings().confidence},
          {"chance_of_fixed", answer.chance},
          {"passes_by_luck", answer.by_luck},
          {"signature", search.signature()},
          {"unpatched", side(kUnpatched)},
          {"unpatched_rate", {{"low", rate.low}, {"high", rate.high}}},
          {"patched", side(kPatched)},
          {"trials", search.trials()},
          {"seconds", search.seconds()}};
}

}  // namespace mmquake::bisect
