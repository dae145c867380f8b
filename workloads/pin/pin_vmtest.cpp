// SPDX-License-Identifier: GPL-2.0-or-later
//
// The oracles of the pin workloads on a clean kernel: what is broken on purpose is found as what it
// is, and what only looks broken is acquitted.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "host/process/process.h"

namespace mmquake {
namespace {

using testing::HasSubstr;

constexpr const char* kProgram = MMQUAKE_BINARY_DIR "/mmquake";

struct Provocation {
  std::string workload;
  std::vector<std::string> params;
  std::string verdict;
  std::string text;  // found: the title; broken: part of the reason; passed: a counter above 0
  std::string kind;  // of the finding
};

std::string name_of(const Provocation& provocation) {
  std::string name = provocation.workload;
  for (const std::string& param : provocation.params) {
    name += "_" + param.substr(param.find('=') + 1);
  }
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

std::ostream& operator<<(std::ostream& out, const Provocation& provocation) {
  return out << name_of(provocation);
}

class PinOracles : public testing::TestWithParam<Provocation> {};

TEST_P(PinOracles, SeeWhatIsWrongAndNothingElse) {
  const Provocation& expected = GetParam();
  const std::filesystem::path out =
      std::filesystem::path(MMQUAKE_BINARY_DIR) / "vmtest" / name_of(expected);
  std::filesystem::remove_all(out);
  Command command;
  command.argv = {
      kProgram,    "run", expected.workload, "--kernel", "clean", "--machine", "numa2-movable-2cpu",
      "--seconds", "6",   "--seed",          "1",        "--out", out.string()};
  for (const std::string& param : expected.params) {
    command.argv.insert(command.argv.end(), {"--param", param});
  }
  auto done = run_command(command);
  ASSERT_TRUE(done) << done.error().message;
  std::ifstream file(out / "trial-001" / "verdict.json");
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const nlohmann::json verdict = nlohmann::json::parse(text, nullptr, false);
  ASSERT_FALSE(verdict.is_discarded()) << done->output_tail;
  ASSERT_EQ(verdict["verdict"], expected.verdict) << done->output_tail;
  if (expected.verdict == "found") {
    ASSERT_FALSE(verdict["findings"].empty());
    EXPECT_EQ(verdict["findings"][0]["kind"], expected.kind);
    EXPECT_EQ(verdict["findings"][0]["title"], expected.text);
  } else if (expected.verdict == "broken") {
    EXPECT_THAT(verdict["reason"].get<std::string>(), HasSubstr(expected.text));
  } else {
    EXPECT_GT(verdict["counters"].value(expected.text, 0), 0) << text;
  }
}

constexpr const char* kMisplaced = "long-term pinned pages in ZONE_MOVABLE";
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
        Provocation{"pinned-data", {}, "passed", "overlaps", ""},
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
