// SPDX-License-Identifier: GPL-2.0-or-later
//
// The oracle of uffd-thp-wait: what looks like the bug on a clean kernel, made to happen on
// purpose, is not reported. (That it reports the bug itself is the case uffd-thp-migration.)
#include <gtest/gtest.h>

#include <algorithm>

#include "workloads/vm_run.h"

namespace mmquake {
namespace {

struct Provocation {
  std::string variant;
  std::string provoke;
  std::string counter;  // proves that it happened
};

std::ostream& operator<<(std::ostream& out, const Provocation& provocation) {
  return out << provocation.variant << " " << provocation.provoke;
}

class UffdThpWaitOracle : public testing::TestWithParam<Provocation> {};

TEST_P(UffdThpWaitOracle, AProvokedWaitIsInnocent) {
  const Provocation& provocation = GetParam();
  const VmRun ran =
      run_in_vm(provocation.variant + "-" + provocation.provoke,
                {"uffd-thp-wait", "--seconds", "30", "--param", "variant=" + provocation.variant,
                 "--param", "provoke=" + provocation.provoke,
                 // Queue after the WAKE, as in the case.
                 "--widen", "handle_userfault:0-30000:p=0.7:comm=faulter"});
  EXPECT_EQ(ran.exit_code, 0) << ran.output;
  const nlohmann::json& verdict = ran.verdict;
  ASSERT_FALSE(verdict.is_discarded()) << ran.output;
  EXPECT_EQ(verdict["verdict"], "passed") << ran.output;
  EXPECT_GT(verdict["counters"].value(provocation.counter, 0), 0) << ran.text;
}

INSTANTIATE_TEST_SUITE_P(All, UffdThpWaitOracle,
                         testing::Values(Provocation{"shmem-missing", "no-touch", "waits/innocent"},
                                         Provocation{"shmem-missing", "no-wake", "waits/innocent"},
                                         Provocation{"shmem-missing", "late-fill",
                                                     "reads/before-fill"},
                                         Provocation{"shmem-missing", "hurry", "late_rounds"},
                                         Provocation{"anon-wp", "hurry", "late_rounds"},
                                         Provocation{"anon-wp", "no-wake", "waits/innocent"},
                                         Provocation{"anon-wp", "wp-no-write", "waits/innocent"},
                                         Provocation{"anon-collapse", "no-wake", "waits/innocent"},
                                         Provocation{"anon-collapse", "none", "collapse/done"}),
                         [](const testing::TestParamInfo<Provocation>& test) {
                           std::string name = test.param.variant + "_" + test.param.provoke;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

// On a kernel without UFFDIO_MOVE anon-move is skipped; MADV_COLLAPSE is in 6.1 already.
TEST(UffdThpWaitContent, AChangedPageIsFound) {
  const VmRun ran =
      run_in_vm("anon-collapse-scribble", {"uffd-thp-wait", "--seconds", "10", "--param",
                                           "variant=anon-collapse", "--param", "provoke=scribble"});
  EXPECT_EQ(ran.exit_code, 1) << ran.output;
  ASSERT_FALSE(ran.verdict.is_discarded()) << ran.output;
  EXPECT_EQ(ran.verdict["verdict"], "found") << ran.text;
  EXPECT_EQ(ran.verdict["findings"][0]["title"],
            "a page that userfaultfd brought holds other bytes");
}

TEST(UffdThpWaitContent, WithoutUffdioMoveIsSkippedAndNamed) {
  const VmRun ran =
      run_in_vm("anon-move", {"uffd-thp-wait", "--seconds", "5", "--param", "variant=anon-move"});
  EXPECT_EQ(ran.exit_code, 4) << ran.output;
  ASSERT_FALSE(ran.verdict.is_discarded()) << ran.output;
  EXPECT_EQ(ran.verdict["verdict"], "skipped") << ran.text;
}

}  // namespace
}  // namespace mmquake
