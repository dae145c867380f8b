// SPDX-License-Identifier: GPL-2.0-or-later
//
// The oracles of hugetlb-shared-pmd on a clean kernel: what the workload breaks on purpose is found
// under the right title, what it does not break is not.
#include <gtest/gtest.h>

#include <algorithm>

#include "workloads/vm_run.h"

namespace mmquake {
namespace {

struct Provocation {
  std::string consumer;
  std::string order;
  std::string provoke;
  int exit_code;
  std::string text;  // in the verdict: a title, or the reason why it is broken
};

std::ostream& operator<<(std::ostream& out, const Provocation& provocation) {
  return out << provocation.consumer << " " << provocation.order << " " << provocation.provoke;
}

class HugetlbSharedPmdOracle : public testing::TestWithParam<Provocation> {};

TEST_P(HugetlbSharedPmdOracle, SaysWhatWasBroken) {
  const Provocation& test = GetParam();
  const VmRun ran =
      run_in_vm("hugetlb-" + test.consumer + "-" + test.order + "-" + test.provoke,
                {"hugetlb-shared-pmd", "--seconds", "4", "--param", "consumer=" + test.consumer,
                 "--param", "order=" + test.order, "--param", "provoke=" + test.provoke});
  EXPECT_EQ(ran.exit_code, test.exit_code) << ran.output;
  const nlohmann::json& verdict = ran.verdict;
  ASSERT_FALSE(verdict.is_discarded()) << ran.output;
  EXPECT_NE(verdict.dump().find(test.text), std::string::npos) << ran.text;
  if (test.provoke == "none") {
    EXPECT_GT(verdict["counters"].value("migrations", 0), 0) << ran.text;
    EXPECT_GT(verdict["counters"].value("pmd-page/shared", 0), 0) << ran.text;
    EXPECT_GT(verdict["counters"].value("overlaps", 0), 0) << ran.text;
  }
}

constexpr const char* kPassed = "passed";
constexpr const char* kNotMoved = "no page was migrated";

INSTANTIATE_TEST_SUITE_P(
    All, HugetlbSharedPmdOracle,
    testing::Values(Provocation{"cpu", "plain", "none", 0, kPassed},
                    Provocation{"cpu", "plain", "no-move", 3, kNotMoved},
                    Provocation{"cpu", "plain", "no-store", 1,
                                "a process writes to the old page after migration"},
                    Provocation{"cpu", "plain", "roll-back", 1,
                                "a process's write is lost after migration"},
                    Provocation{"dmirror", "plain", "none", 0, kPassed},
                    Provocation{"dmirror", "unshare-first", "none", 0, kPassed},
                    Provocation{"dmirror", "plain", "no-move", 3, kNotMoved},
                    Provocation{"dmirror", "plain", "stale-device-read", 1,
                                "a device reads the old page after migration"},
                    Provocation{"dmirror", "plain", "lost-device-write", 1,
                                "a device's write is lost after migration"},
                    Provocation{"kvm", "plain", "none", 0, kPassed},
                    Provocation{"rxe", "plain", "none", 0, kPassed},
                    Provocation{"rxe", "unshare-first", "none", 0, kPassed},
                    Provocation{"rxe", "plain", "stale-device-read", 1,
                                "a device reads the old page after migration"},
                    Provocation{"rxe", "plain", "lost-device-write", 1,
                                "a device's write is lost after migration"},
                    Provocation{"kvm", "plain", "lost-device-write", 1,
                                "a device's write is lost after migration"}),
    [](const testing::TestParamInfo<Provocation>& test) {
      std::string name = test.param.consumer + "_" + test.param.order + "_" + test.param.provoke;
      std::replace(name.begin(), name.end(), '-', '_');
      return name;
    });

}  // namespace
}  // namespace mmquake
