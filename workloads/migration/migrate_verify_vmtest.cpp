// SPDX-License-Identifier: GPL-2.0-or-later
//
// The oracle of migrate-verify on a clean kernel: it finds each thing that is broken on purpose,
// as what it is, and nothing where nothing is.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "workloads/vm_run.h"

namespace mmquake {
namespace {

using testing::HasSubstr;

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
  const VmRun ran =
      run_in_vm("migrate-verify-" + expected.provoke,
                {"migrate-verify", "--seconds", "30", "--param", "provoke=" + expected.provoke});
  EXPECT_EQ(ran.exit_code, expected.exit_code) << ran.output;
  const nlohmann::json& verdict = ran.verdict;
  ASSERT_FALSE(verdict.is_discarded()) << ran.output;
  EXPECT_EQ(verdict["verdict"], expected.verdict) << ran.output;
  if (expected.verdict == "found") {
    ASSERT_FALSE(verdict["findings"].empty());
    EXPECT_EQ(verdict["findings"][0]["kind"], expected.kind);
    EXPECT_THAT(verdict["findings"][0]["title"].get<std::string>(), HasSubstr(expected.title));
  } else {
    EXPECT_THAT(verdict["reason"].get<std::string>(), HasSubstr(expected.title));
  }
  if (expected.verdict == "passed") {
    EXPECT_THAT(ran.output, HasSubstr("migrated per second"));
    EXPECT_GT(verdict["counters"].value("thp_migrations", 0), 0) << ran.text;
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
