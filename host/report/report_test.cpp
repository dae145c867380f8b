// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/report/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

namespace mmquake {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

ReportedTrial sample(Outcome outcome) {
  ReportedTrial trial;
  trial.kernel = "6.1.192";
  trial.side = "clean";
  trial.plan.guest.workload = "uffd-thp-wait";
  trial.plan.guest.seed = 7;
  trial.plan.repeat_command = "build/mmquake run uffd-thp-wait --seed 7";
  trial.plan.kernel.name = "clean";
  trial.plan.machine.name = "numa2";
  trial.result.hello.kernel = "6.1.192";
  trial.result.verdict.outcome = outcome;
  trial.result.summary.time_s = 60;
  trial.result.summary.rounds = 1204;
  trial.result.summary.counters = {{"thp_migrations", 3310}, {"migrated/anon-thp/mbind", 120}};
  return trial;
}

TEST(Report, Thousands) {
  EXPECT_EQ(thousands(0), "0");
  EXPECT_EQ(thousands(999), "999");
  EXPECT_EQ(thousands(1204), "1,204");
  EXPECT_EQ(thousands(1234567), "1,234,567");
}

TEST(Report, PassedLineSaysWhatWasDone) {
  const std::string line = verdict_line(sample(Outcome::kPassed), false);
  EXPECT_THAT(line, HasSubstr("passed"));
  EXPECT_THAT(line,
              HasSubstr("60 s, 1,204 rounds, 3,310 THP migrations, < 180 findings/h at 95 %"));
  EXPECT_THAT(line, Not(HasSubstr("\x1b")));
}

TEST(Report, PassedLineCountsDelaysThatTookEffect) {
  ReportedTrial trial = sample(Outcome::kPassed);
  trial.result.summary.widener = {{"folio_copy", 900, 40, 40}, {"zap", 7, 2, 0}};
  EXPECT_THAT(verdict_line(trial, false), HasSubstr("3,310 THP migrations, 42 delays, <"));
}

TEST(Report, FoundLineNamesTitleTimeAndRound) {
  ReportedTrial trial = sample(Outcome::kFound);
  trial.result.verdict.findings = {{"hang", "hang in handle_userfault", "oracle", 3.1, 41, {}}};
  EXPECT_THAT(verdict_line(trial, false),
              HasSubstr("FOUND   hang in handle_userfault after 3.1 s, round 41, trial 1/1"));
}

TEST(Report, GuestTextCannotControlTheTerminal) {
  ReportedTrial trial = sample(Outcome::kFound);
  trial.result.hello.kernel = "6.1\x1b]0;owned\x07";
  trial.result.verdict.findings = {{"hang",
                                    "title\x1b[2J\nsecond line",
                                    "oracle",
                                    1,
                                    1,
                                    {{"stack\x1b[31m", "f+0x1/0x2\x1b[2J"}}}};
  EXPECT_THAT(verdict_line(trial, false), Not(HasSubstr("\x1b")));
  EXPECT_THAT(verdict_line(trial, false), Not(HasSubstr("\n")));
  EXPECT_THAT(trial_report(trial), Not(HasSubstr("\x1b")));
}

TEST(Report, CounterTablesAreRates) {
  const std::string table = counter_tables(
      {{"migrated/anon-thp/mbind", 120}, {"migrated/shmem-4k/move_pages", 60}, {"plain", 1}}, 60);
  EXPECT_THAT(table, HasSubstr("migrated per second"));
  EXPECT_THAT(table, HasSubstr("anon-thp"));
  EXPECT_THAT(table, HasSubstr("2.0"));
  EXPECT_THAT(table, HasSubstr("1.0"));
  EXPECT_THAT(table, Not(HasSubstr("plain")));
  EXPECT_EQ(counter_tables({{"plain", 1}}, 60), "");
}

TEST(Report, JsonHasTheVerdictAndSurvivesBadUtf8) {
  ReportedTrial trial = sample(Outcome::kBroken);
  trial.result.verdict.reason = "bad \xff byte";
  const nlohmann::json json = verdict_json(trial);
  EXPECT_EQ(json["verdict"], "broken");
  EXPECT_EQ(json["rounds"], 1204);
  const std::string text = json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  EXPECT_THAT(text, HasSubstr("broken"));
}

TEST(Report, WritesTheFilesOfATrial) {
  const std::filesystem::path dir =
      std::filesystem::temp_directory_path() / ("report_test." + std::to_string(getpid()));
  std::filesystem::create_directories(dir);
  ReportedTrial trial = sample(Outcome::kPassed);
  trial.result.directory = dir;
  const Result<> written = write_trial(trial);
  ASSERT_TRUE(written) << written.error().message;
  for (const char* name : {"plan.json", "verdict.json", "report.txt", "command"}) {
    EXPECT_TRUE(std::filesystem::exists(dir / name)) << name;
  }
  std::ifstream file(dir / "verdict.json");
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  EXPECT_EQ(nlohmann::json::parse(text)["repeat"], trial.plan.repeat_command);
  std::filesystem::remove_all(dir);
}

TEST(Report, WriteFileSaysWhichFileFailed) {
  const Result<> written = write_file("/proc/mmquake/none", "x");
  ASSERT_FALSE(written);
  EXPECT_THAT(written.error().message, HasSubstr("/proc/mmquake/none"));
}

}  // namespace
}  // namespace mmquake
