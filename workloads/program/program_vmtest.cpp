// SPDX-License-Identifier: GPL-2.0-or-later
//
// Programs that mmquake knows nothing of, in real VMs: what hangs, fails or cannot run is told from
// what only waits.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "workloads/program/sample_programs.h"
#include "workloads/vm_run.h"

namespace mmquake {
namespace {

using testing::HasSubstr;

struct Sample {
  std::string name;
  std::string code;  // of main()
  std::string verdict;
  std::string text;  // found: the title; skipped: part of the reason
  std::string param = "run_seconds=20";
};

std::ostream& operator<<(std::ostream& out, const Sample& sample) {
  return out << sample.name;
}

std::filesystem::path write_file(const std::string& name, const std::string& text) {
  const std::filesystem::path folder = std::filesystem::path(MMQUAKE_BINARY_DIR) / "vmtest-input";
  std::filesystem::create_directories(folder);
  std::ofstream(folder / name) << text;
  return folder / name;
}

class UserProgram : public testing::TestWithParam<Sample> {};

TEST_P(UserProgram, IsJudgedByWhatItsTasksDo) {
  const Sample& sample = GetParam();
  const auto file = write_file(sample.name + ".c", kSampleHead + sample.code);
  const VmRun ran = run_in_vm("program-" + sample.name,
                              {"--c", file.string(), "--seconds", "8", "--machine",
                               "numa2-movable-2cpu", "--param", sample.param},
                              "clean", "repro");
  ASSERT_FALSE(ran.verdict.is_discarded()) << ran.output;
  ASSERT_EQ(ran.verdict["verdict"], sample.verdict) << ran.output;
  if (sample.verdict == "found") {
    EXPECT_EQ(ran.verdict["findings"][0]["title"], sample.text);
  } else if (sample.verdict == "skipped") {
    EXPECT_THAT(ran.verdict["reason"].get<std::string>(), HasSubstr(sample.text));
  } else {
    EXPECT_GT(ran.verdict["counters"].value(sample.text, 0), 0) << ran.text;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Vm, UserProgram,
    testing::Values(
        Sample{"unserved", kUnserved, "found", "hang in handle_userfault"},
        Sample{"exits_with_3", "int main(void) { puts(\"no\"); return 3; }", "found",
               "the program exited with 3"},
        Sample{"aborts", "int main(void) { abort(); }", "found",
               "the program was killed by SIGABRT"},
        Sample{"cannot_run", "int main(void) { puts(\"needs a tape\"); return 4; }", "skipped",
               "needs a tape"},
        // The end of its time is no fault of its own, nor of the kernel's; nor are its children's.
        Sample{"waits",
               "int main(void) { if (fork() == 0) { setsid(); fork(); } for (;;) pause(); }",
               "passed", "runs/ended-by-the-limit", "run_seconds=2"},
        Sample{"ends", "int main(void) { return 0; }", "passed", "runs/ended"}),
    [](const auto& test) { return test.param.name; });

TEST(UserScript, HasTheUsualCommands) {
  const auto script = write_file("script.sh", "#!/bin/sh\nls / | grep -q payload && exit 5\n");
  const VmRun ran =
      run_in_vm("program-script",
                {"--script", script.string(), "--seconds", "8", "--machine", "numa2-movable-2cpu"},
                "clean", "repro");
  if (ran.output.find("apt install busybox-static") != std::string::npos) {
    GTEST_SKIP() << "./deps.sh browser installs busybox-static";
  }
  ASSERT_FALSE(ran.verdict.is_discarded()) << ran.output;
  ASSERT_EQ(ran.verdict["verdict"], "found") << ran.output;
  EXPECT_EQ(ran.verdict["findings"][0]["title"], "the program exited with 5");
}

// docs/reproducing.md: written from the text of a mail, nothing of mmquake's is linked.
TEST(Reproducer, HangsOnTheKernelWithTheBugAndPassesOnTheOther) {
  const std::string program = MMQUAKE_SOURCE_DIR "/docs/reproducers/uffd_thp_migration.c";
  const std::vector<std::string> words = {
      "--c",      program,
      "--widen",  "handle_userfault:0-30000:p=0.7:comm=faulter",
      "--widen",  "folio_mc_copy|folio_copy:0-5000:comm=migrator",
      "--seconds"};
  std::vector<std::string> bug = words;
  bug.insert(bug.end(), {"60", "--bugs", "uffd-wait-on-migration-entry"});
  const VmRun found = run_in_vm("program-reproducer-bug", bug, "specimen", "repro");
  ASSERT_FALSE(found.verdict.is_discarded()) << found.output;
  ASSERT_EQ(found.verdict["verdict"], "found") << found.output;
  EXPECT_EQ(found.verdict["findings"][0]["title"], "hang in handle_userfault");
  std::vector<std::string> clean = words;
  clean.emplace_back("15");
  const VmRun passed = run_in_vm("program-reproducer-clean", clean, "clean", "repro");
  ASSERT_FALSE(passed.verdict.is_discarded()) << passed.output;
  EXPECT_EQ(passed.verdict["verdict"], "passed") << passed.output;
}

}  // namespace
}  // namespace mmquake
