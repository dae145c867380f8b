// SPDX-License-Identifier: GPL-2.0-or-later
//
// `mmquake bisect` as a user meets it, and what a SIGKILL leaves of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <nlohmann/json.hpp>

#include "host/bisect/graphs_for_tests.h"
#include "host/process/process.h"

namespace mmquake {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// Dead, but not yet waited for by whoever inherited it, is not running.
bool is_running(pid_t pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  return std::getline(in, text) && text.find(") Z ") == std::string::npos;
}

class BisectProgram : public testing::Test {
 protected:
  BisectProgram()
      : state_("XDG_STATE_HOME", scratch_.path() / "state"),
        cache_("XDG_CACHE_HOME", scratch_.path() / "cache") {
    for (int i = 1; i <= 12; ++i) {
      repository_.commit("change " + std::to_string(i),
                         {{"code", std::to_string(i)}, {"state", i >= 7 ? "bad" : "good"}});
    }
  }

  static std::vector<std::string> argv(const std::vector<std::string>& args) {
    std::vector<std::string> out = {MMQUAKE_BINARY_DIR "/mmquake", "bisect"};
    out.insert(out.end(), args.begin(), args.end());
    return out;
  }
  static Finished bisect(const std::vector<std::string>& args) {
    auto done = run_command({argv(args), {}, {}});
    EXPECT_TRUE(done) << done.error().message;
    return done ? *done : Finished{-1, ""};
  }
  std::vector<std::string> begin(const std::string& run) const {
    return {"--repo", repository_.path(), "--good", "start", "--bad", "master", "--run", run};
  }
  // Of the only bisection.
  fs::path directory() const {
    for (const auto& entry : fs::directory_iterator(scratch_.path() / "state/mmquake/bisect")) {
      return entry.path();
    }
    return {};
  }

  bisect::Scratch scratch_;
  bisect::Repository repository_;
  kernel::ScopedVariable state_, cache_;
};

TEST_F(BisectProgram, FindsItAndSaysSoInEveryForm) {
  const Finished done = bisect(begin("! grep -q bad state"));
  EXPECT_EQ(done.exit_code, 0) << done.output_tail;
  EXPECT_THAT(done.output_tail, HasSubstr("first bad commit ("));
  EXPECT_THAT(done.output_tail, HasSubstr("change 7"));
  EXPECT_THAT(kernel::text_of(directory() / "git-bisect.log"), HasSubstr("# first bad commit: ["));
  // The checkout goes, the answer can be had again.
  EXPECT_TRUE(fs::is_empty(scratch_.path() / "cache/mmquake/bisect"));
  auto json = bisect({"--resume", directory(), "--json"});
  EXPECT_EQ(json.exit_code, 0);
  json.output_tail.erase(0, json.output_tail.find("\n{\n"));
  const auto result = nlohmann::json::parse(json.output_tail, nullptr, false);
  ASSERT_FALSE(result.is_discarded()) << json.output_tail;
  EXPECT_EQ(result["first_bad"][0]["subject"], "change 7");
  EXPECT_EQ(bisect({"--resume"}).exit_code, 2);  // none is open
}

TEST_F(BisectProgram, SurvivesASigkillAndEndsWhatItLeft) {
  const fs::path mark = scratch_.path() / "mark";
  const std::string run = "if [ $MMQUAKE_TRIAL = 4 ] && [ ! -e " + mark.string() +
                          " ]; then echo $$ > " + mark.string() + ".new; mv " + mark.string() +
                          ".new " + mark.string() + "; sleep 600; fi; ! grep -q bad state";
  const std::vector<std::string> words = argv(begin(run));
  const pid_t child = fork();
  if (child == 0) {
    std::vector<char*> raw;
    raw.reserve(words.size() + 1);
    for (const std::string& word : words) raw.push_back(const_cast<char*>(word.c_str()));
    raw.push_back(nullptr);
    execv(raw[0], raw.data());
    _exit(127);
  }
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(90);
  while (!fs::exists(mark) && std::chrono::steady_clock::now() < deadline) poll(nullptr, 0, 20);
  ASSERT_TRUE(fs::exists(mark));
  kill(child, SIGKILL);
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  const fs::path journal = directory() / "journal.jsonl";
  const std::string before = kernel::text_of(journal);
  // Killed while it wrote: a torn line.
  std::ofstream(journal, std::ios::app) << R"({"type":"trial","com)";
  const pid_t left = std::stoi(kernel::text_of(mark));
  ASSERT_TRUE(is_running(left));

  const Finished done = bisect({"--resume"});
  EXPECT_EQ(done.exit_code, 0) << done.output_tail;
  EXPECT_THAT(done.output_tail, HasSubstr("change 7"));
  const std::string after = kernel::text_of(journal);
  EXPECT_THAT(after, StartsWith(before));
  EXPECT_THAT(after, Not(HasSubstr("\"com{")));
  EXPECT_FALSE(is_running(left));
}

TEST_F(BisectProgram, BadInputIsAUsageErrorThatHelps) {
  const auto expect = [](const std::vector<std::string>& args, const char* says) {
    const Finished done = bisect(args);
    EXPECT_EQ(done.exit_code, 2) << done.output_tail;
    EXPECT_THAT(done.output_tail, HasSubstr(says));
  };
  const std::string repository = repository_.path();
  expect({}, "--good");
  expect({"--good", "a"}, "--bad");
  expect({"--good", "a", "--bad", "b"}, "--run");
  expect({"--repo", repository, "--good", "strat", "--bad", "master", "--run", "x"}, "'strat'");
  expect({"--repo", repository, "--good", "master", "--bad", "start", "--run", "x"}, "mixed up");
  expect({"--repo", "/nonexistent", "--good", "a", "--bad", "b", "--run", "x"}, "/nonexistent");
  expect({"--confidence", "95"}, "0.9999");
  const std::vector<std::string> range = {"--repo", repository, "--good",
                                          "start",  "--bad",    "master"};
  const auto expect_vm = [&](std::vector<std::string> args, const char* says) {
    args.insert(args.begin(), range.begin(), range.end());
    expect(args, says);
  };
  expect_vm({"--case", "uffd-thp-migratoin"}, "uffd-thp-migration");
  expect_vm({"--workload", "migrate-verifi"}, "migrate-verify");
  expect_vm({"--workload", "migrate-verify", "--param", "backing=paper"}, "backing");
  expect_vm({"--workload", "migrate-verify", "--machine", "numa7"}, "numa");
  expect_vm({"--workload", "migrate-verify", "--widen", "f:x"}, "MIN-MAX");
  expect_vm({"--workload", "migrate-verify", "--bugs", "x"}, "no switches");
  expect_vm({"--workload", "migrate-verify", "--kernel-config", "debian-6.1"}, "package");
  expect_vm({"--workload", "migrate-verify", "--with-patch", "/nonexistent"}, "/nonexistent");
  expect_vm({"--workload", "migrate-verify", "--run", "true"}, "--run");
  expect_vm({"--machine", "numa2"}, "--case or --workload");
  expect({"--resume", "--case", "uffd-thp-migration"}, "goes on with the trials that it had");
  expect({"--resume", "/nonexistent"}, "no bisection in /nonexistent");
  expect({"--resume", "--good", "a"}, "--good");
  // Nothing of that has begun anything.
  EXPECT_FALSE(fs::exists(scratch_.path() / "state"));
  EXPECT_THAT(bisect({"--help"}).output_tail, HasSubstr("MMQUAKE_SIGNATURE"));
}

// `git bisect run` would take 2 for "bad".
TEST_F(BisectProgram, WhatIsNoVerdictStopsGitBisect) {
  for (const std::vector<std::string>& args :
       {std::vector<std::string>{"bisect-run"},
        {"bisect-run", "--nonsense"},
        {"bisect-run", "--case", "none-such"},
        {"bisect-run", "--workload", "migrate-verify", "--trials", "0"}}) {
    std::vector<std::string> words = {MMQUAKE_BINARY_DIR "/mmquake"};
    words.insert(words.end(), args.begin(), args.end());
    const auto done = run_command({words, {}, {}});
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_EQ(done->exit_code, 128) << done->output_tail;
  }
}

TEST_F(BisectProgram, APatchThatIsNoneIsAUsageError) {
  const fs::path file = scratch_.path() / "no.patch";
  std::ofstream(file) << "nothing\n";
  const std::string program = MMQUAKE_BINARY_DIR "/mmquake";
  const auto done = run_command(
      {{program, "patch", "test", file.string(), "--case", "uffd-thp-migration"}, {}, {}});
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(done->exit_code, 2) << done->output_tail;
  EXPECT_THAT(done->output_tail, HasSubstr("no changes in it"));
}

}  // namespace
}  // namespace mmquake
