// SPDX-License-Identifier: GPL-2.0-or-later
//
// The oracle of thp-split: what it must find on a clean kernel once the workload breaks its own
// rules, and nothing else. (That the kernel's own reports are found is what the cases show.)
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>

#include "workloads/vm_run.h"

namespace mmquake {
namespace {

constexpr const char* kCameBack = "a page came back that was given back";
constexpr const char* kLost = "a page lost its value around a THP split";

struct Provocation {
  std::string scenario;
  std::string provoke;
  std::string title;  // empty: nothing is to be found
};

std::ostream& operator<<(std::ostream& out, const Provocation& provocation) {
  return out << provocation.scenario << " " << provocation.provoke;
}

// Not here: munlock-split, which finds a bug of the clean kernel (docs/cases/munlock-split.md).
class ThpSplitOracle : public testing::TestWithParam<Provocation> {};

TEST_P(ThpSplitOracle, FindsWhatWasProvokedAndNothingElse) {
  const Provocation& provocation = GetParam();
  const VmRun ran =
      run_in_vm(provocation.scenario + "-" + provocation.provoke,
                {"thp-split", "--machine", "numa2-small", "--seconds", "4", "--param",
                 "scenario=" + provocation.scenario, "--param", "provoke=" + provocation.provoke});
  EXPECT_EQ(ran.exit_code, provocation.title.empty() ? 0 : 1) << ran.output;
  const nlohmann::json& verdict = ran.verdict;
  ASSERT_FALSE(verdict.is_discarded()) << ran.output;
  if (provocation.title.empty()) {
    EXPECT_EQ(verdict["verdict"], "passed") << ran.text;
    EXPECT_GT(verdict["counters"].value("overlaps", 0), 0) << ran.text;
    return;
  }
  EXPECT_EQ(verdict["verdict"], "found") << ran.text;
  ASSERT_EQ(verdict["findings"].size(), 1U) << ran.text;
  EXPECT_EQ(verdict["findings"][0]["kind"], "corruption");
  EXPECT_EQ(verdict["findings"][0]["title"], provocation.title);
}

// Record channel and swap disk are modules there.
TEST(ThpSplitOnAPackagedKernel, ItsModulesAreLoaded) {
  const std::string kernel = "debian-5.10";
  if (!is_built(kernel)) GTEST_SKIP() << "run: mmquake kernel build " << kernel;
  const VmRun ran = run_in_vm("packaged-pageout",
                              {"thp-split", "--machine", "numa2-small", "--seconds", "4", "--param",
                               "scenario=anon-pageout"},
                              kernel);
  ASSERT_FALSE(ran.verdict.is_discarded()) << ran.output;
  EXPECT_EQ(ran.verdict["verdict"], "passed") << ran.text;
  std::ifstream console(ran.directory / "console.log");
  const std::string text((std::istreambuf_iterator<char>(console)),
                         std::istreambuf_iterator<char>());
  EXPECT_THAT(text, testing::HasSubstr("records go to /dev/vport"));
}

INSTANTIATE_TEST_SUITE_P(All, ThpSplitOracle,
                         testing::Values(Provocation{"anon-split-dontneed", "no-zap", kCameBack},
                                         Provocation{"anon-split-dontneed", "scribble", kLost},
                                         Provocation{"anon-pageout", "no-zap", kCameBack},
                                         Provocation{"anon-pageout", "scribble", kLost},
                                         Provocation{"anon-pageout", "none", ""},
                                         Provocation{"shmem-single-pte", "scribble", kLost},
                                         Provocation{"shmem-single-pte", "none", ""},
                                         Provocation{"truncate-munmap", "no-zap", kCameBack},
                                         Provocation{"smaps-split", "scribble", kLost},
                                         Provocation{"move-dontneed", "scribble", kLost},
                                         Provocation{"mlock-truncate", "no-zap", kCameBack},
                                         Provocation{"mlock-truncate", "scribble", kLost},
                                         Provocation{"mlock-truncate", "none", ""},
                                         Provocation{"pageout-touch", "scribble", kLost},
                                         Provocation{"pageout-touch", "none", ""},
                                         Provocation{"move-touch", "scribble", kLost},
                                         Provocation{"move-touch", "none", ""}),
                         [](const testing::TestParamInfo<Provocation>& test) {
                           std::string name = test.param.scenario + "_" + test.param.provoke;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace mmquake
