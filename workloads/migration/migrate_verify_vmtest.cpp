// SPDX-License-Identifier: GPL-2.0-or-later
//
// The oracle of migrate-verify on a clean kernel: it finds each thing that is broken on purpose,
// as what it is, and nothing where nothing is.
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
  std::string provoke;
  int exit_code;
  std::string verdict;
  std::string kind;   // of the finding
  std::string title;  // or a part of the reason
};

std::ostream& operator<<(std::ostream& out, const Provocation& provocation) {
  return out << provocation.provoke;
}

class MigrateVerifyOracle : public testing::TestWithParam<Provocation> {};

TEST_P(MigrateVerifyOracle, SeesWhatIsWrong) {
  const Provocation& expected = GetParam();
  const std::filesystem::path out =
      std::filesystem::path(MMQUAKE_BINARY_DIR) / "vmtest" / ("migrate-verify-" + expected.provoke);
  std::filesystem::remove_all(out);
  Command command;
  command.argv = {kProgram,
                  "run",
                  "migrate-verify",
                  "--kernel",
                  "clean",
                  "--seconds",
                  "30",
                  "--seed",
                  "1",
                  "--param",
                  "provoke=" + expected.provoke,
                  "--out",
                  out.string()};
  auto done = run_command(command);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(done->exit_code, expected.exit_code) << done->output_tail;
  std::ifstream file(out / "trial-001" / "verdict.json");
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const nlohmann::json verdict = nlohmann::json::parse(text, nullptr, false);
  ASSERT_FALSE(verdict.is_discarded()) << done->output_tail;
  EXPECT_EQ(verdict["verdict"], expected.verdict) << done->output_tail;
  if (expected.verdict == "found") {
    ASSERT_FALSE(verdict["findings"].empty());
    EXPECT_EQ(verdict["findings"][0]["kind"], expected.kind);
    EXPECT_THAT(verdict["findings"][0]["title"].get<std::string>(), HasSubstr(expected.title));
  } else {
    EXPECT_THAT(verdict["reason"].get<std::string>(), HasSubstr(expected.title));
  }
  if (expected.verdict == "passed") {
    EXPECT_THAT(done->output_tail, HasSubstr("migrated per second"));
    EXPECT_GT(verdict["counters"].value("thp_migrations", 0), 0) << text;
  }
}

// A racing write may turn any damage into a torn cell, so only its kind is certain.
INSTANTIATE_TEST_SUITE_P(
    All, MigrateVerifyOracle,
    testing::Values(Provocation{"none", 0, "passed", "", ""},
                    Provocation{"lost-write", 1, "found", "corruption", "a cell of"},
                    Provocation{"foreign", 1, "found", "corruption", "a cell of"},
                    Provocation{"zero", 1, "found", "corruption", "a cell of"},
                    Provocation{"misplaced", 1, "found", "misplacement",
                                "a page is not where move_pages put it"},
                    Provocation{"leak", 1, "found", "leak", "the hugetlb pool does not add up"},
                    Provocation{"none-migrated", 3, "broken", "", "nothing migrated"}),
    [](const testing::TestParamInfo<Provocation>& test) {
      std::string name = test.param.provoke;
      std::replace(name.begin(), name.end(), '-', '_');
      return name;
    });

}  // namespace
}  // namespace mmquake
