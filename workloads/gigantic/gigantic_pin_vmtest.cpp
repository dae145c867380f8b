// SPDX-License-Identifier: GPL-2.0-or-later
//
// gigantic-pin on the clean kernel, whose struct pages are one array: it says that it cannot judge;
// where it is told to judge all the same nothing is wrong, unless it is broken on purpose. How it
// finds the bug is the case's (mmquake repro gigantic-page-increment): its kernels take long to
// build.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "workloads/vm_run.h"

namespace mmquake {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

VmRun run_on_a_dimm(const std::string& name, const std::vector<std::string>& params) {
  std::vector<std::string> words = {"gigantic-pin", "--machine", "numa2-dimm", "--seconds", "3"};
  for (const std::string& param : params) words.insert(words.end(), {"--param", param});
  return run_in_vm("gigantic-" + name, words);
}

TEST(GiganticPin, RefusesToJudgeWhereThereIsNoBreak) {
  const VmRun ran = run_on_a_dimm("vmemmap", {});
  ASSERT_FALSE(ran.verdict.is_discarded()) << ran.output;
  EXPECT_EQ(ran.verdict["verdict"], "skipped") << ran.output;
  EXPECT_EQ(ran.exit_code, 4);
  EXPECT_THAT(ran.verdict["reason"].get<std::string>(), HasSubstr("CONFIG_SPARSEMEM_VMEMMAP"));
}

class GiganticPinPaths : public testing::TestWithParam<const char*> {};

TEST_P(GiganticPinPaths, AreRightOnAKernelWithoutBreaks) {
  const VmRun ran =
      run_on_a_dimm(GetParam(), {std::string("path=") + GetParam(), "provoke=no-break"});
  ASSERT_FALSE(ran.verdict.is_discarded()) << ran.output;
  EXPECT_EQ(ran.verdict["verdict"], "passed") << ran.output;
  EXPECT_GE(ran.verdict["counters"].value("ranges/across-border", 0), 7) << ran.text;
  EXPECT_GE(ran.verdict["counters"].value("ranges/across-none", 0), 7) << ran.text;
  EXPECT_EQ(ran.verdict["counters"].value("pins/refused", 1), 0) << ran.text;
}

INSTANTIATE_TEST_SUITE_P(All, GiganticPinPaths,
                         testing::Values("io-uring", "gup-longterm", "direct-io", "vmsplice",
                                         "gup-fast"),
                         [](const testing::TestParamInfo<const char*>& test) {
                           std::string name = test.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

class GiganticPinOracle : public testing::TestWithParam<std::pair<const char*, const char*>> {};

TEST_P(GiganticPinOracle, SeesWhatIsBrokenOnPurpose) {
  const auto [provoke, title] = GetParam();
  const VmRun ran = run_on_a_dimm(provoke, {std::string("provoke=") + provoke});
  ASSERT_FALSE(ran.verdict.is_discarded()) << ran.output;
  ASSERT_EQ(ran.verdict["verdict"], "found") << ran.output;
  EXPECT_EQ(ran.verdict["findings"][0]["kind"], "corruption");
  EXPECT_THAT(ran.verdict["findings"][0]["title"].get<std::string>(), StartsWith(title));
}

INSTANTIATE_TEST_SUITE_P(
    All, GiganticPinOracle,
    testing::Values(std::pair("other-page", "a pin reads another page"),
                    std::pair("lost-write", "a write through a pin misses its page")),
    [](const testing::TestParamInfo<std::pair<const char*, const char*>>& test) {
      return std::string(test.param.first).substr(0, 4);
    });

}  // namespace
}  // namespace mmquake
