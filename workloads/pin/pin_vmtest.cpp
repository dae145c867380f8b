// SPDX-License-Identifier: GPL-2.0-or-later
//
// The oracles of the pin workloads on a clean kernel: what is broken on purpose is found as what it
// is, and what only looks broken is acquitted.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "workloads/vm_run.h"

namespace mmquake {
namespace {

using testing::HasSubstr;

struct Provocation {
  std::string workload;
  std::vector<std::string> params;
  std::string verdict;
  std::string text;  // found: the title; broken: part of the reason; passed: a counter above 0
  std::string kind;  // of the finding
  std::string machine = "numa2-movable-2cpu";
  int seconds = 6;
  std::string kernel = "clean";
};

std::string name_of(const Provocation& provocation) {
  std::string name = provocation.workload + "_" + provocation.kernel;
  for (const std::string& param : provocation.params) {
    name += "_" + param.substr(param.find('=') + 1);
  }
  std::replace(name.begin(), name.end(), '-', '_');
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
}

std::ostream& operator<<(std::ostream& out, const Provocation& provocation) {
  return out << name_of(provocation);
}

class PinOracles : public testing::TestWithParam<Provocation> {};

TEST_P(PinOracles, SeeWhatIsWrongAndNothingElse) {
  const Provocation& expected = GetParam();
  if (expected.kernel != "clean" && !is_built(expected.kernel)) {
    GTEST_SKIP() << "run: mmquake kernel build " << expected.kernel;
  }
  std::vector<std::string> words = {expected.workload, "--machine", expected.machine, "--seconds",
                                    std::to_string(expected.seconds)};
  for (const std::string& param : expected.params) words.insert(words.end(), {"--param", param});
  const VmRun ran = run_in_vm(name_of(expected), words, expected.kernel);
  const nlohmann::json& verdict = ran.verdict;
  ASSERT_FALSE(verdict.is_discarded()) << ran.output;
  ASSERT_EQ(verdict["verdict"], expected.verdict) << ran.output;
  if (expected.verdict == "found") {
    ASSERT_FALSE(verdict["findings"].empty());
    EXPECT_EQ(verdict["findings"][0]["kind"], expected.kind);
    EXPECT_EQ(verdict["findings"][0]["title"], expected.text);
  } else if (expected.verdict != "passed") {
    EXPECT_THAT(verdict["reason"].get<std::string>(), HasSubstr(expected.text));
  } else {
    EXPECT_GT(verdict["counters"].value(expected.text, 0), 0) << ran.text;
  }
}

constexpr const char* kMisplaced = "long-term pinned pages in ZONE_MOVABLE";
constexpr int kSecondsOfRemovals = 15;  // all layouts, each with a removal
constexpr const char* kNeverEnds =
    "memory hot-remove never ends: long-term pinned pages in ZONE_MOVABLE";
constexpr const char* kNoMemory = "long-term pin failed with ENOMEM";

INSTANTIATE_TEST_SUITE_P(
    All, PinOracles,
    testing::Values(
        Provocation{"pin-layouts", {"provoke=short-term"}, "found", kMisplaced, "misplacement"},
        Provocation{"pin-layouts", {"provoke=not-movable"}, "broken", "no pin could be judged", ""},
        Provocation{"pin-layouts",
                    {"provoke=refault-after-pin"},
                    "passed",
                    "pages/mapped-but-not-pinned",
                    ""},
        Provocation{"pin-layouts", {"consumer=gup_test"}, "passed", "migrations", ""},
        Provocation{"pin-layouts",
                    {"oracle=hot-remove"},
                    "passed",
                    "removals/ended",
                    "",
                    "numa2-movable-2cpu",
                    kSecondsOfRemovals},
        Provocation{"pin-layouts",
                    {"oracle=hot-remove", "provoke=short-term"},
                    "found",
                    kNeverEnds,
                    "hang"},
        Provocation{"pin-layouts",
                    {"oracle=hot-remove", "provoke=refault-after-pin"},
                    "passed",
                    "removals/ended",
                    "",
                    "numa2-movable-2cpu",
                    kSecondsOfRemovals},
        Provocation{"pin-layouts",
                    {"oracle=hot-remove", "provoke=held-by-other", "layout=contiguous"},
                    "broken",
                    "held up by another one",
                    "",
                    "numa2-movable-2cpu",
                    kSecondsOfRemovals},
        Provocation{"pin-layouts", {"consumer=gup_test-hold"}, "skipped", "from 6.2 on", ""},
        Provocation{"pin-layouts",
                    {"consumer=gup_test-hold"},
                    "passed",
                    "migrations",
                    "",
                    "numa2-movable-2cpu",
                    20,
                    "clean-6.12"},
        // Here the driver's READ tells that other pages are pinned than those that are mapped.
        Provocation{"pin-layouts",
                    {"consumer=gup_test-hold", "provoke=refault-after-pin"},
                    "passed",
                    "pages/mapped-but-not-pinned",
                    "",
                    "numa2-movable-2cpu",
                    20,
                    "clean-6.12"},
        Provocation{
            "pin-vs-isolation", {"provoke=short-term"}, "found", kMisplaced, "misplacement"},
        Provocation{"pin-vs-isolation", {"provoke=memlock"}, "found", kNoMemory, "kernel-bug"},
        Provocation{"pin-vs-isolation", {"provoke=no-right"}, "passed", "pins/refused-rightly", ""},
        Provocation{"pin-vs-isolation",
                    {"provoke=held", "isolator=none"},
                    "passed",
                    "pins/refused-rightly",
                    ""},
        Provocation{"pin-vs-isolation", {"isolator=move-pages"}, "passed", "overlaps", ""},
        Provocation{"pin-vs-isolation", {"isolator=compaction"}, "passed", "overlaps", ""},
        Provocation{"pin-layouts", {"consumer=rxe"}, "passed", "migrations", ""},
        Provocation{"pinned-data", {}, "passed", "overlaps", ""},
        Provocation{"pinned-data",
                    {"consumer=rxe", "backing=anon-thp"},
                    "passed",
                    "pins/of-a-huge-page",
                    ""},
        // Not in ZONE_MOVABLE: 6.1 warns when hugetlb is pinned for long there.
        Provocation{"pinned-data",
                    {"consumer=rxe", "backing=hugetlb-2m"},
                    "passed",
                    "pins/of-a-huge-page",
                    "",
                    "numa2-small"},
        Provocation{"pinned-data",
                    {"consumer=rxe", "provoke=lost-write"},
                    "found",
                    "a device reads old data from pinned memory",
                    "corruption"},
        Provocation{"pinned-data",
                    {"consumer=rxe", "provoke=unpinned"},
                    "found",
                    "a pinned page moved",
                    "misplacement"},
        Provocation{"pinned-data",
                    {"provoke=lost-write"},
                    "found",
                    "a device reads old data from pinned memory",
                    "corruption"},
        Provocation{
            "pinned-data", {"provoke=unpinned"}, "found", "a pinned page moved", "misplacement"}),
    [](const testing::TestParamInfo<Provocation>& test) { return name_of(test.param); });

}  // namespace
}  // namespace mmquake
