// SPDX-License-Identifier: GPL-2.0-or-later
//
// For vm tests: one trial of a workload through the program, as a user would run it.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "host/process/process.h"

namespace mmquake {

struct VmRun {
  int exit_code = -1;
  std::string output;               // of the program
  std::string text;                 // of verdict.json
  nlohmann::json verdict;           // discarded when there is none
  std::filesystem::path directory;  // of the trial
};

// Whether the kernel is in the cache: no test builds one of another series for half an hour.
inline bool is_built(const std::string& kernel) {
  Command command;
  command.argv = {MMQUAKE_BINARY_DIR "/mmquake", "kernel", "path", kernel};
  const auto done = run_command(command);
  return done && done->exit_code == 0;
}

// mmquake run WORDS... --kernel KERNEL --seed 1, into build/vmtest/NAME. Or `repro`.
inline VmRun run_in_vm(const std::string& name, const std::vector<std::string>& words,
                       const std::string& kernel = "clean", const std::string& how = "run") {
  const std::filesystem::path out = std::filesystem::path(MMQUAKE_BINARY_DIR) / "vmtest" / name;
  std::filesystem::remove_all(out);
  Command command;
  command.argv = {MMQUAKE_BINARY_DIR "/mmquake", how};
  command.argv.insert(command.argv.end(), words.begin(), words.end());
  command.argv.insert(command.argv.end(),
                      {"--kernel", kernel, "--seed", "1", "--out", out.string()});
  auto done = run_command(command);
  VmRun ran;
  EXPECT_TRUE(done) << done.error().message;
  if (!done) return ran;
  ran.exit_code = done->exit_code;
  ran.output = done->output_tail;
  ran.directory = out / "trial-001";
  std::ifstream file(ran.directory / "verdict.json");
  ran.text.assign(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  ran.verdict = nlohmann::json::parse(ran.text, nullptr, false);
  return ran;
}

}  // namespace mmquake
