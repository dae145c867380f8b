// SPDX-License-Identifier: GPL-2.0-or-later
//
// The program as a user meets it, as far as no VM is needed: help, lists, and what bad input gets.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "host/process/process.h"

namespace mmquake {
namespace {

using ::testing::HasSubstr;

Finished mmquake(std::vector<std::string> args) {
  args.insert(args.begin(), MMQUAKE_BINARY_DIR "/mmquake");
  Command command;
  command.argv = std::move(args);
  auto done = run_command(command);
  EXPECT_TRUE(done) << done.error().message;
  return done ? *done : Finished{-1, ""};
}

TEST(Program, HelpTeaches) {
  const Finished help = mmquake({"--help"});
  EXPECT_EQ(help.exit_code, 0);
  for (const char* word :
       {"run", "repro", "soak", "kernel", "doctor", "list", "Exit codes", "Examples"}) {
    EXPECT_THAT(help.output_tail, HasSubstr(word));
  }
  for (const char* command : {"run", "repro", "soak", "kernel", "doctor", "list"}) {
    EXPECT_EQ(mmquake({command, "--help"}).exit_code, 0) << command;
  }
}

TEST(Program, ListNamesWhatIsThere) {
  const Finished list = mmquake({"list"});
  EXPECT_EQ(list.exit_code, 0);
  for (const char* word : {"uffd-thp-migration", "uffd-thp-wait", "migrate-verify", "clean",
                           "specimen", "numa2", "numa2-small", "numa4-memory-only", "nightly"}) {
    EXPECT_THAT(list.output_tail, HasSubstr(word));
  }
}

// All campaigns with the guest's own workloads: a budget that holds no trial stops them after they
// have been read.
TEST(Program, ItsOwnCampaignsCanBeRead) {
  for (const char* campaign : {"clean", "nightly", "compose", "compose-specimen"}) {
    const Finished done = mmquake({"soak", campaign, "--for", "1s"});
    EXPECT_EQ(done.exit_code, 2);
    EXPECT_THAT(done.output_tail, HasSubstr("shorter than one trial")) << campaign;
  }
}

TEST(Program, ListSpeaksJson) {
  const Finished list = mmquake({"list", "--json"});
  const auto json = nlohmann::json::parse(list.output_tail, nullptr, false);
  ASSERT_FALSE(json.is_discarded()) << list.output_tail;
  EXPECT_FALSE(json["cases"].empty());
  EXPECT_FALSE(json["workloads"].empty());
}

TEST(Program, DrawsCanBeLimited) {
  const Finished drawn = mmquake({"compose", "--backings", "ksm", "--movers", "none",
                                  "--disturbers", "mlock,smaps", "--count", "50", "--json"});
  const auto json = nlohmann::json::parse(drawn.output_tail, nullptr, false);
  ASSERT_FALSE(json.is_discarded()) << drawn.output_tail;
  ASSERT_EQ(json.size(), 50U);
  for (const auto& one : json) {
    const auto composition = one["composition"].get<std::map<std::string, std::string>>();
    EXPECT_EQ(composition.at("backing"), "ksm");
    EXPECT_FALSE(composition.contains("mover"));
    EXPECT_TRUE(composition.at("disturber") == "mlock" || composition.at("disturber") == "smaps");
  }
}

struct BadInput {
  std::vector<std::string> args;
  std::string says;
};

// NOLINTNEXTLINE(readability-identifier-naming): GoogleTest's name
void PrintTo(const BadInput& bad, std::ostream* out) {
  *out << testing::PrintToString(bad.args);
}

class BadInputTest : public testing::TestWithParam<BadInput> {};

TEST_P(BadInputTest, IsAUsageErrorThatHelps) {
  const Finished done = mmquake(GetParam().args);
  EXPECT_EQ(done.exit_code, 2);
  EXPECT_THAT(done.output_tail, HasSubstr(GetParam().says));
}

INSTANTIATE_TEST_SUITE_P(
    All, BadInputTest,
    testing::Values(BadInput{{"rnu"}, "run"}, BadInput{{"run", "migrate-verfy"}, "migrate-verify"},
                    BadInput{{"repro", "uffd-thp-migratoin"}, "uffd-thp-migration"},
                    BadInput{{"score", "split-no-synk"}, "split-no-sync"},
                    BadInput{{"score", "--kernel", "claen"}, "clean"},
                    BadInput{{"score", "--series", "6.21"}, "6.12"},
                    BadInput{{"run", "migrate-verify", "--kernel", "claen"}, "clean"},
                    BadInput{{"run", "migrate-verify", "--machine", "numa"}, "numa2"},
                    BadInput{{"run", "uffd-thp-wait", "--param", "varant=anon-wp"}, "variant"},
                    BadInput{{"run", "uffd-thp-wait", "--param", "variant=anon"}, "anon-wp"},
                    BadInput{{"run", "uffd-thp-wait", "--param", "variant"}, "key=value"},
                    BadInput{
                        {"run", "uffd-thp-wait", "--kernel", "specimen", "--bugs", "uffd-wait"},
                        "uffd-wait-on-migration-entry"},
                    BadInput{{"run", "uffd-thp-wait", "--bugs", "x"}, "specimen"},
                    BadInput{{"run", "uffd-thp-wait", "--seconds", "-1"}, "86400"},
                    BadInput{{"run", "uffd-thp-wait", "--seconds", "0"}, "86400"},
                    BadInput{{"run", "uffd-thp-wait", "--trials", "0"}, "10000"},
                    BadInput{{"run", "uffd-thp-wait", "--accel", "hvf"}, "tcg"},
                    BadInput{{"run", "uffd-thp-wait", "--widen", "f:9-1"}, "--widen"},
                    BadInput{{"compose", "--movers", "mbnd"}, "mbind"},
                    BadInput{{"soak", "nihgtly"}, "'nightly'"}, BadInput{{"soak"}, "CAMPAIGN"},
                    BadInput{{"soak", "clean", "--for", "8"}, "1h30m"},
                    BadInput{{"soak", "clean", "--for", "3s"}, "shorter than one trial"},
                    BadInput{{"soak", "clean", "--jobs", "0"}, "256"},
                    BadInput{{"soak", "--resume", "x"}, "number"},
                    BadInput{{"soak", "--resume", "--out", "/nonexistent"}, "no campaign was run"},
                    BadInput{{"bench", "pni"}, "'pni'"}, BadInput{{"bench", "pni"}, "'pin'"},
                    BadInput{{"bench", "--json", "all"}, "there are: pin"},
                    BadInput{{"bench"}, "pin"}, BadInput{{"kernel", "bulid"}, "build"},
                    BadInput{{"kernel", "path", "claen"}, "clean"}, BadInput{{}, "--help"}));

}  // namespace
}  // namespace mmquake
