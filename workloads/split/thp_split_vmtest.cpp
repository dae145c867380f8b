// SPDX-License-Identifier: GPL-2.0-or-later
//
// The oracle of thp-split: what it must find on a clean kernel once the workload breaks its own
// rules, and nothing else. (That the kernel's own reports are found is what the cases show.)
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
  const std::filesystem::path out = std::filesystem::path(MMQUAKE_BINARY_DIR) / "vmtest" /
                                    (provocation.scenario + "-" + provocation.provoke);
  std::filesystem::remove_all(out);
  Command command;
  command.argv = {kProgram,
                  "run",
                  "thp-split",
                  "--kernel",
                  "clean",
                  "--machine",
                  "numa2-small",
                  "--seconds",
                  "4",
                  "--seed",
                  "1",
                  "--param",
                  "scenario=" + provocation.scenario,
                  "--param",
                  "provoke=" + provocation.provoke,
                  "--out",
                  out.string()};
  auto done = run_command(command);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(done->exit_code, provocation.title.empty() ? 0 : 1) << done->output_tail;
  std::ifstream file(out / "trial-001" / "verdict.json");
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const nlohmann::json verdict = nlohmann::json::parse(text, nullptr, false);
  ASSERT_FALSE(verdict.is_discarded()) << done->output_tail;
  if (provocation.title.empty()) {
    EXPECT_EQ(verdict["verdict"], "passed") << text;
    EXPECT_GT(verdict["counters"].value("overlaps", 0), 0) << text;
    return;
  }
  EXPECT_EQ(verdict["verdict"], "found") << text;
  ASSERT_EQ(verdict["findings"].size(), 1U) << text;
  EXPECT_EQ(verdict["findings"][0]["kind"], "corruption");
  EXPECT_EQ(verdict["findings"][0]["title"], provocation.title);
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
                                         Provocation{"mlock-truncate", "none", ""}),
                         [](const testing::TestParamInfo<Provocation>& test) {
                           std::string name = test.param.scenario + "_" + test.param.provoke;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace mmquake
