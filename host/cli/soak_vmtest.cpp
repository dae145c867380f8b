// SPDX-License-Identifier: GPL-2.0-or-later
//
// A soak with real VMs that is killed, interrupted, and robbed of its QEMU.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "host/cli/vm_processes.h"
#include "host/process/process.h"

namespace mmquake {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* kProgram = MMQUAKE_BINARY_DIR "/mmquake";

class SoakVm : public testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::path(MMQUAKE_BINARY_DIR) / "vmtest" /
            (std::string("soak-") + testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(root_);
    fs::create_directories(root_);
    std::ofstream(root_ / "three.toml") << "summary = \"s\"\ntrials = 3\ntrial_seconds = 3\n"
                                           "kernels = [\"clean\"]\nmachines = [\"numa2-small\"]\n"
                                           "[[workload]]\nname = \"selftest-pass\"\n";
  }

  Finished mmquake(std::vector<std::string> args) const {
    args.insert(args.begin(), {kProgram, "soak"});
    args.insert(args.end(), {"--out", root_.string()});
    Command command;
    command.argv = std::move(args);
    auto done = run_command(command);
    EXPECT_TRUE(done) << done.error().message;
    return done ? *done : Finished{-1, ""};
  }

  // The soak in the background, its words in the file log.
  pid_t start() const {
    const std::string campaign = (root_ / "three.toml").string();
    const std::string log = (root_ / "log").string();
    const pid_t child = fork();
    if (child == 0) {
      const int file = open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
      dup2(file, STDOUT_FILENO);
      dup2(file, STDERR_FILENO);
      execl(kProgram, kProgram, "soak", campaign.c_str(), "--seed", "5", "--out", root_.c_str(),
            nullptr);
      _exit(127);
    }
    return child;
  }
  bool wait_for_vm() const {
    return within(std::chrono::seconds(120), [&] { return !qemus_of(root_).empty(); });
  }
  int wait_for(pid_t child) const {
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return status;
  }
  std::string log() const {
    std::ifstream file(root_ / "log");
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
  json summary() const {
    for (const auto& entry : fs::directory_iterator(root_)) {
      std::ifstream file(entry.path() / "summary.json");
      if (!file) continue;
      return json::parse(std::string(std::istreambuf_iterator<char>(file), {}), nullptr, false);
    }
    return {};
  }

  fs::path root_;
};

TEST_F(SoakVm, SurvivesItsOwnSigkill) {
  const pid_t child = start();
  ASSERT_GE(child, 0);
  ASSERT_TRUE(wait_for_vm()) << log();
  ASSERT_EQ(kill(child, SIGKILL), 0);
  EXPECT_TRUE(WIFSIGNALED(wait_for(child)));
  EXPECT_TRUE(within(std::chrono::seconds(5), [&] { return qemus_of(root_).empty(); }));
  EXPECT_EQ(mmquake({"--check"}).exit_code, 0);
  EXPECT_THAT(mmquake({"--summary"}).output_tail, HasSubstr("1 trials have not ended"));
  const Finished resumed = mmquake({"--resume"});
  EXPECT_EQ(resumed.exit_code, 0) << resumed.output_tail;
  EXPECT_EQ(mmquake({"--check"}).exit_code, 0);
  const json seen = summary();
  EXPECT_EQ(seen["trials"], 3) << seen.dump(2);
  EXPECT_EQ(seen["passed"], 3);
  EXPECT_EQ(seen["restarted"], 1);
  EXPECT_EQ(seen["not_ended"], 0);
  EXPECT_EQ(seen["seed"], 5);
}

TEST_F(SoakVm, CtrlCEndsTheVmAndSaysHowToGoOn) {
  const pid_t child = start();
  ASSERT_GE(child, 0);
  ASSERT_TRUE(wait_for_vm()) << log();
  EXPECT_THAT(mmquake({"--resume", "1"}).output_tail, HasSubstr("runs already"));
  ASSERT_EQ(kill(child, SIGINT), 0);
  const int status = wait_for(child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 128 + SIGINT) << log();
  EXPECT_THAT(qemus_of(root_), IsEmpty());
  EXPECT_THAT(log(), HasSubstr("soak --resume 1 --out"));
  EXPECT_EQ(mmquake({"--check"}).exit_code, 0);
  EXPECT_EQ(mmquake({"--resume", "1"}).exit_code, 0);
  EXPECT_EQ(summary()["passed"], 3) << summary().dump(2);
}

// Compositions that pass share a VM; each is a trial of its own.
TEST_F(SoakVm, OneBootServesSeveralTrials) {
  std::ofstream(root_ / "boot.toml")
      << "summary = \"s\"\ntrials = 4\ntrial_seconds = 2\nkernels = [\"clean\"]\n"
         "machines = [\"numa2\"]\n[[compose]]\ntrials_per_boot = 4\n";
  const Finished done = mmquake({(root_ / "boot.toml").string(), "--seed", "5", "--jobs", "1"});
  EXPECT_EQ(done.exit_code, 0) << done.output_tail;
  EXPECT_EQ(summary()["passed"], 4) << summary().dump(2);
  std::size_t shared = 0;
  for (const auto& entry : fs::recursive_directory_iterator(root_)) {
    if (entry.path().filename() != "verdict.json") continue;
    std::ifstream file(entry.path());
    shared += json::parse(file)["trials_before_in_vm"].empty() ? 0 : 1;
  }
  // One that could not be set up in a used VM has been run again in its own.
  EXPECT_GE(shared, 1U) << done.output_tail;
}

TEST_F(SoakVm, AKilledQemuIsBrokenAndTheSoakGoesOn) {
  const pid_t child = start();
  ASSERT_GE(child, 0);
  ASSERT_TRUE(wait_for_vm()) << log();
  for (const pid_t vm : qemus_of(root_)) EXPECT_EQ(kill(vm, SIGKILL), 0);
  const int status = wait_for(child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 3) << log();
  const json seen = summary();
  EXPECT_EQ(seen["found"], 0) << seen.dump(2);
  EXPECT_EQ(seen["broken"], 1);
  EXPECT_EQ(seen["passed"], 2);
  EXPECT_THAT(seen["broken_reasons"].dump(), HasSubstr("host failure"));
}

}  // namespace
}  // namespace mmquake
