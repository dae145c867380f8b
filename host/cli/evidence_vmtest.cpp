// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a finding leaves, with real VMs, and read by the programs that it is for: crash and gdb.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "host/process/process.h"

namespace mmquake {
namespace {

namespace fs = std::filesystem;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;

constexpr const char* kProgram = MMQUAKE_BINARY_DIR "/mmquake";

std::string text_of(const fs::path& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

Finished run(std::vector<std::string> argv) {
  Command command;
  command.argv = std::move(argv);
  auto done = run_command(command);
  EXPECT_TRUE(done) << done.error().message;
  return done ? *done : Finished{-1, ""};
}

bool is_installed(const std::string& program) {
  return run({"sh", "-c", "command -v " + program}).exit_code == 0;
}

class EvidenceVm : public testing::Test {
 protected:
  void SetUp() override {
    out_ = fs::path(MMQUAKE_BINARY_DIR) / "vmtest" /
           testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(out_);
  }
  Finished mmquake(std::vector<std::string> args) const {
    args.insert(args.begin(), kProgram);
    args.insert(args.end(), {"--out", out_.string()});
    return run(args);
  }

  fs::path out_;
};

TEST_F(EvidenceVm, APanicLeavesTheRegistersOfEveryVcpu) {
  const Finished done = mmquake({"run", "selftest-panic", "--seconds", "5"});
  EXPECT_EQ(done.exit_code, 1) << done.output_tail;
  const std::string registers = text_of(out_ / "trial-001/registers.txt");
  for (const char* part : {"guest-panicked", "CPU#0", "CPU#3", "CR3="}) {
    EXPECT_THAT(registers, HasSubstr(part));
  }
  // The CPU that wrote to the panic device.
  EXPECT_THAT(text_of(out_ / "trial-001/report.txt"), ContainsRegex("vCPU [0-3] in pvpanic"));
}

TEST_F(EvidenceVm, CrashOpensADumpAndShowsTheHungTask) {
  const Finished done = mmquake({"repro", "uffd-thp-migration", "--kernel", "specimen", "--bugs",
                                 "uffd-wait-on-migration-entry", "--seconds", "30", "--dump"});
  ASSERT_EQ(done.exit_code, 0) << done.output_tail;
  const std::string report = text_of(out_ / "bug-001/report.txt");
  EXPECT_THAT(report, HasSubstr("vmcore: the guest's memory"));
  EXPECT_THAT(text_of(out_ / "bug-001/vmcore").substr(0, 8), "KDUMP   ");
  if (!is_installed("crash")) GTEST_SKIP() << "crash is not installed: ./deps.sh debuggers";
  const std::string before = "  crash ";
  const std::size_t at = report.find(before);
  ASSERT_NE(at, std::string::npos) << report;
  const std::string vmlinux =
      report.substr(at + before.size(), report.find(' ', at + before.size()) - at - before.size());
  if (!fs::exists(vmlinux)) {
    GTEST_SKIP() << "the kernel's debug information is not there: make kernels";
  }
  const Finished crash = run({"sh", "-c",
                              "printf 'foreach faulter bt\\nquit\\n' | crash -s '" + vmlinux +
                                  "' '" + (out_ / "bug-001/vmcore").string() + "'"});
  EXPECT_EQ(crash.exit_code, 0) << crash.output_tail;
  EXPECT_THAT(crash.output_tail, HasSubstr("handle_userfault at ffffffff"));
}

TEST_F(EvidenceVm, GdbShowsTheSourceLineOfAFunctionInMm) {
  if (!is_installed("gdb")) GTEST_SKIP() << "gdb is not installed: ./deps.sh debuggers";
  const Finished done = mmquake({"run", "selftest-pass", "--seconds", "2", "--gdb", "--ex",
                                 "hbreak handle_mm_fault", "--ex", "continue", "--ex", "list"});
  EXPECT_EQ(done.exit_code, 0) << done.output_tail;
  EXPECT_THAT(done.output_tail, ContainsRegex("handle_mm_fault .* at .*mm/memory.c:[0-9]+"));
  EXPECT_THAT(done.output_tail, ContainsRegex("[0-9]+\t.*vm_fault_t handle_mm_fault"));
  EXPECT_THAT(text_of(out_ / "trial-001/console.log"), HasSubstr("Linux version"));
}

}  // namespace
}  // namespace mmquake
