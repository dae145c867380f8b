// SPDX-License-Identifier: GPL-2.0-or-later
//
// The C file of a composition that was chosen by hand: it finds the bug that the composition finds,
// and passes on the kernel that has no bug.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "host/shrink/c_program.h"
#include "workloads/vm_run.h"

namespace mmquake {
namespace {

using testing::StartsWith;

std::string write_c_file() {
  Composition composition;
  composition.set(Slot::kBacking, "hugetlb-shared-pmd");
  composition.set(Slot::kMover, "move_pages");
  const auto text = c_program(composition, CProgramOrigin());
  EXPECT_TRUE(text) << text.error().message;
  const std::filesystem::path folder = std::filesystem::path(MMQUAKE_BINARY_DIR) / "vmtest-input";
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "composition.c") << text.value_or("");
  return (folder / "composition.c").string();
}

TEST(CProgramOnSpecimen, FindsTheBug) {
  const VmRun ran = run_in_vm(
      "c-program-bug", {"--c", write_c_file(), "--seconds", "60", "--bugs", "hugetlb-no-unshare"},
      "specimen", "repro");
  ASSERT_FALSE(ran.verdict.is_discarded()) << ran.output;
  ASSERT_EQ(ran.verdict["verdict"], "found") << ran.output;
  const auto& finding = ran.verdict["findings"][0];
  EXPECT_EQ(finding["title"], "the program exited with 1");
  EXPECT_THAT(finding["evidence"]["output"].get<std::string>(),
              StartsWith("FOUND corruption: stale data in hugetlb-shared-pmd\n"));
}

// The whole way of a user, with nothing to take away.
TEST(ShrinkInVm, ProvesTheCFile) {
  const std::filesystem::path out = std::filesystem::path(MMQUAKE_BINARY_DIR) / "vmtest" / "shrink";
  std::filesystem::remove_all(out);
  Command command;
  command.argv = {MMQUAKE_BINARY_DIR "/mmquake", "shrink"};
  for (const char* word :
       {"compose", "--as-is", "--proof", "1", "--kernel", "specimen", "--bugs",
        "hugetlb-no-unshare", "--seconds", "60", "--seed", "1", "--param",
        "backing=hugetlb-shared-pmd", "--param", "mover=move_pages", "--json", "--out"}) {
    command.argv.emplace_back(word);
  }
  command.argv.push_back(out.string());
  std::string text;
  const auto done = run_command(command, [&](std::string_view line) {
    if (line.starts_with('{') || !text.empty()) text += std::string(line) + "\n";
  });
  ASSERT_TRUE(done) << done.error().message;
  ASSERT_EQ(done->exit_code, 0) << done->output_tail;
  const auto result = nlohmann::json::parse(text, nullptr, false);
  ASSERT_FALSE(result.is_discarded()) << text;
  EXPECT_EQ(result["signature"], "corruption: stale data in hugetlb-shared-pmd");
  EXPECT_EQ(result["found"]["hits"], 1) << text;
  EXPECT_EQ(result["c_file"]["found"]["hits"], 1) << text;
  EXPECT_TRUE(std::filesystem::exists(out / "reproducer.c"));
}

TEST(CProgramOnClean, Passes) {
  const VmRun ran =
      run_in_vm("c-program-clean", {"--c", write_c_file(), "--seconds", "15"}, "clean", "repro");
  ASSERT_FALSE(ran.verdict.is_discarded()) << ran.output;
  EXPECT_EQ(ran.verdict["verdict"], "passed") << ran.output;
}

}  // namespace
}  // namespace mmquake
