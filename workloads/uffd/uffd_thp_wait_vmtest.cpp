// SPDX-License-Identifier: GPL-2.0-or-later
//
// The oracle of uffd-thp-wait: what looks like the bug on a clean kernel, made to happen on
// purpose, is not reported. (That it reports the bug itself is the case uffd-thp-migration.)
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "host/process/process.h"

namespace mmquake {
namespace {

constexpr const char* kProgram = MMQUAKE_BINARY_DIR "/mmquake";

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
  const std::filesystem::path out = std::filesystem::path(MMQUAKE_BINARY_DIR) / "vmtest" /
                                    (provocation.variant + "-" + provocation.provoke);
  std::filesystem::remove_all(out);
  Command command;
  command.argv = {kProgram, "run", "uffd-thp-wait", "--kernel", "clean", "--seconds", "30",
                  "--seed", "1", "--param", "variant=" + provocation.variant, "--param",
                  "provoke=" + provocation.provoke,
                  // Queue after the WAKE, as in the case.
                  "--widen", "handle_userfault:0-30000:p=0.7:comm=faulter", "--out", out.string()};
  auto done = run_command(command);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(done->exit_code, 0) << done->output_tail;
  std::ifstream file(out / "trial-001" / "verdict.json");
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const nlohmann::json verdict = nlohmann::json::parse(text, nullptr, false);
  ASSERT_FALSE(verdict.is_discarded()) << done->output_tail;
  EXPECT_EQ(verdict["verdict"], "passed") << done->output_tail;
  EXPECT_GT(verdict["counters"].value(provocation.counter, 0), 0) << text;
}

INSTANTIATE_TEST_SUITE_P(All, UffdThpWaitOracle,
                         testing::Values(Provocation{"shmem-missing", "no-touch", "waits/innocent"},
                                         Provocation{"shmem-missing", "no-wake", "waits/innocent"},
                                         Provocation{"shmem-missing", "late-fill",
                                                     "reads/before-fill"},
                                         Provocation{"anon-wp", "no-wake", "waits/innocent"},
                                         Provocation{"anon-wp", "wp-no-write", "waits/innocent"}),
                         [](const testing::TestParamInfo<Provocation>& test) {
                           std::string name = test.param.variant + "_" + test.param.provoke;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace mmquake
