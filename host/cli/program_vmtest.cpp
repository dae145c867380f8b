// SPDX-License-Identifier: GPL-2.0-or-later
//
// The program as a user meets it, with real VMs: verdicts, exit codes, files, and no VM left.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "host/cli/vm_processes.h"
#include "host/process/process.h"

namespace mmquake {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

constexpr const char* kProgram = MMQUAKE_BINARY_DIR "/mmquake";

class ProgramVm : public testing::Test {
 protected:
  void SetUp() override {
    out_ = std::filesystem::path(MMQUAKE_BINARY_DIR) / "vmtest" /
           testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(out_);
  }

  Finished mmquake(std::vector<std::string> args) {
    args.insert(args.begin(), kProgram);
    args.insert(args.end(), {"--out", out_.string()});
    Command command;
    command.argv = std::move(args);
    auto done = run_command(command);
    EXPECT_TRUE(done) << done.error().message;
    return done ? *done : Finished{-1, ""};
  }

  json verdict(const std::string& trial) const {
    std::ifstream file(out_ / trial / "verdict.json");
    const std::string text((std::istreambuf_iterator<char>(file)),
                           std::istreambuf_iterator<char>());
    return json::parse(text, nullptr, false);
  }

  std::filesystem::path out_;
};

TEST_F(ProgramVm, PassLeavesEveryFileOfTheTrial) {
  const Finished done = mmquake({"run", "selftest-pass", "--seconds", "2", "--seed", "5"});
  EXPECT_EQ(done.exit_code, 0) << done.output_tail;
  for (const char* name : {"console.log", "records.jsonl", "domain.xml", "plan.json",
                           "verdict.json", "report.txt", "command"}) {
    EXPECT_GT(std::filesystem::file_size(out_ / "trial-001" / name), 0U) << name;
  }
  const json seen = verdict("trial-001");
  EXPECT_EQ(seen["verdict"], "passed");
  EXPECT_EQ(seen["seed"], 5);
  EXPECT_THAT(seen["repeat"].get<std::string>(), HasSubstr("--seed 5"));
}

struct Expected {
  std::string workload;
  int exit_code;
  std::string verdict;
  std::string says;  // in reason or title
};

// NOLINTNEXTLINE(readability-identifier-naming): GoogleTest's name
void PrintTo(const Expected& expected, std::ostream* out) {
  *out << expected.workload;
}

class SelfTest : public ProgramVm, public testing::WithParamInterface<Expected> {};

TEST_P(SelfTest, EndsWithTheRightVerdict) {
  out_ = out_.parent_path() / GetParam().workload;
  std::filesystem::remove_all(out_);
  const Finished done = mmquake({"run", GetParam().workload, "--seconds", "5"});
  EXPECT_EQ(done.exit_code, GetParam().exit_code) << done.output_tail;
  const json seen = verdict("trial-001");
  ASSERT_FALSE(seen.is_discarded()) << done.output_tail;
  EXPECT_EQ(seen["verdict"], GetParam().verdict) << done.output_tail;
  EXPECT_THAT(seen["reason"].dump() + seen["findings"].dump(), HasSubstr(GetParam().says));
}

// The flood passes: an emulated UART moves some 25 KB a second, far from the host's limit. How a
// trial ends that reaches it is shown with the fake machine, in trial_test.cpp.
INSTANTIATE_TEST_SUITE_P(All, SelfTest,
                         testing::Values(Expected{"selftest-hang", 1, "found", "hang in"},
                                         Expected{"selftest-garbage", 0, "passed", ""},
                                         Expected{"selftest-endless-line", 0, "passed", ""},
                                         Expected{"selftest-flood", 0, "passed", ""},
                                         Expected{"selftest-silent", 3, "broken", "silent"},
                                         Expected{"selftest-panic", 1, "found", "panic"},
                                         Expected{"selftest-crash", 3, "broken", "signal"},
                                         Expected{"selftest-no-work", 3, "broken", ""},
                                         Expected{"selftest-skip", 4, "skipped", ""}),
                         [](const testing::TestParamInfo<Expected>& test) {
                           std::string name = test.param.workload;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST_F(ProgramVm, JsonIsOneDocumentOnStdout) {
  // run_command joins both streams, so stderr goes away in a shell.
  Command command;
  command.argv = {"/bin/sh", "-c",
                  std::string(kProgram) + " run selftest-pass --seconds 1 --json --out '" +
                      out_.string() + "' 2>/dev/null"};
  auto done = run_command(command);
  ASSERT_TRUE(done) << done.error().message;
  const json seen = json::parse(done->output_tail, nullptr, false);
  ASSERT_FALSE(seen.is_discarded()) << done->output_tail;
  EXPECT_EQ(seen[0]["verdict"], "passed");
}

// Every case of the catalogue, on both its kernels; those whose kernels `make kernels` does not
// build only where they are there. How often each is found stands in docs/score.md.
TEST_F(ProgramVm, QuickScoreFindsEveryBugAndAccusesNoCleanKernel) {
  std::filesystem::create_directories(out_.parent_path());
  Command command;
  command.argv = {"/bin/sh", "-c",
                  std::string(kProgram) + " score --quick --no-build --json --out '" +
                      out_.string() + "' 2>'" + out_.string() + ".log'"};
  auto done = run_command(command);
  ASSERT_TRUE(done) << done.error().message;
  const json seen = json::parse(done->output_tail, nullptr, false);
  ASSERT_FALSE(seen.is_discarded()) << done->output_tail;
  std::size_t good = 0;
  for (const json& one : seen["cases"]) {
    if (one["result"] == "left out") {
      EXPECT_THAT(one["bug"]["kernel"].get<std::string>(), testing::EndsWith("-novmemmap"))
          << "the only kernels that make kernels leaves out";
      continue;
    }
    EXPECT_EQ(one["result"], "good") << one.dump(2);
    ++good;
  }
  EXPECT_GE(good, 14U);
  EXPECT_EQ(done->exit_code, 0);
}

// The main case; the numbers over many trials stand in docs/cases.
TEST_F(ProgramVm, MainCaseFindsTheBugAndPassesTheCleanKernel) {
  const Finished done = mmquake({"repro", "uffd-thp-migration", "--seconds", "30"});
  EXPECT_EQ(done.exit_code, 0) << done.output_tail;
  EXPECT_EQ(verdict("bug-001")["findings"][0]["title"], "hang in handle_userfault");
  EXPECT_EQ(verdict("clean-001")["verdict"], "passed");
}

TEST_F(ProgramVm, MigrateVerifyPassesOnTheCleanKernel) {
  const Finished done = mmquake({"run", "migrate-verify", "--seconds", "20"});
  EXPECT_EQ(done.exit_code, 0) << done.output_tail;
  EXPECT_THAT(done.output_tail, HasSubstr("migrated per second"));
}

class EndedBy : public ProgramVm, public testing::WithParamInterface<int> {};

TEST_P(EndedBy, LeavesNoVm) {
  out_ = out_.parent_path() / ("EndedBy" + std::to_string(GetParam()));
  std::filesystem::remove_all(out_);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    execl(kProgram, kProgram, "run", "selftest-pass", "--seconds", "300", "--out", out_.c_str(),
          nullptr);
    _exit(127);
  }
  ASSERT_TRUE(within(std::chrono::seconds(60), [&] { return !qemus_of(out_).empty(); }));
  ASSERT_EQ(kill(child, GetParam()), 0);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(within(std::chrono::seconds(5), [&] { return qemus_of(out_).empty(); }));
  if (GetParam() == SIGKILL) {
    EXPECT_TRUE(WIFSIGNALED(status));
  } else {
    ASSERT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 128 + GetParam());
  }
  out_ += "-next";
  std::filesystem::remove_all(out_);
  EXPECT_EQ(mmquake({"run", "selftest-pass", "--seconds", "1"}).exit_code, 0);
}

INSTANTIATE_TEST_SUITE_P(Signals, EndedBy, testing::Values(SIGINT, SIGTERM, SIGHUP, SIGKILL));

}  // namespace
}  // namespace mmquake
