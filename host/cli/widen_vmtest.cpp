// SPDX-License-Identifier: GPL-2.0-or-later
//
// That the sites of a race are found in a running kernel. Whether they raise its rate takes longer
// than a test may: docs/reproducing.md.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "host/plan/test_tree.h"
#include "host/process/process.h"

namespace mmquake {
namespace {

using nlohmann::json;
using testing::AnyOf;
using testing::Eq;

TEST(WidenSearch, TriesWhatWasOnStacksAndWhatRunsBeneathIt) {
  TestTree tree;
  const std::string result = tree.root() / "result";
  Command command;
  // run_command joins both streams, so one goes into a file.
  command.argv = {"/bin/sh", "-c",
                  std::string(MMQUAKE_BINARY_DIR "/mmquake widen search zap-no-single-folio-lock "
                                                 "--seconds 2 --samples 2 --sites 70 --trials 4 "
                                                 "--proof 1 --seed 1 --json --out '") +
                      (tree.root() / "out").string() + "' > '" + result + "'"};
  const auto done = run_command(command);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_THAT(done->exit_code, AnyOf(Eq(0), Eq(1))) << done->output_tail;
  std::ifstream in(result);
  const json found = json::parse(in, nullptr, false);
  ASSERT_TRUE(found.is_object()) << done->output_tail;
  const json& tried = found["tried"];
  EXPECT_GT(tried.size(), 20U);
  EXPECT_LE(tried.size(), 70U);
  EXPECT_TRUE(std::all_of(tried.begin(), tried.end(),
                          [](const json& site) { return site["calls"].get<int>() > 0; }));
  EXPECT_TRUE(std::any_of(tried.begin(), tried.end(),
                          [](const json& site) { return site["stacks"].get<int>() > 0; }));
  EXPECT_TRUE(std::any_of(tried.begin(), tried.end(),
                          [](const json& site) { return site["stacks"].get<int>() == 0; }));
}

}  // namespace
}  // namespace mmquake
