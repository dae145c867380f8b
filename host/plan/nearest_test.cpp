// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/plan/nearest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mmquake {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

const std::vector<std::string> kMachines = {"numa2", "numa2-small", "numa4-memory-only"};

TEST(Nearest, FindsTypingSlips) {
  EXPECT_THAT(nearest("claen", {"clean", "specimen"}), ElementsAre("clean"));
  EXPECT_THAT(nearest("migrate-verfy", {"migrate-verify", "uffd-thp-wait"}),
              ElementsAre("migrate-verify"));
  EXPECT_THAT(nearest("uffd-thp-migratoin", {"uffd-thp-migration", "uffd-thp-migration-wp"}),
              ElementsAre("uffd-thp-migration", "uffd-thp-migration-wp"));
}

TEST(Nearest, IgnoresCaseAndUnderscores) {
  EXPECT_THAT(nearest("UFFD_THP_WAIT", {"uffd-thp-wait"}), ElementsAre("uffd-thp-wait"));
}

TEST(Nearest, FindsPartsOfNamesAfterSlips) {
  EXPECT_THAT(nearest("numa", kMachines), ElementsAre("numa2", "numa2-small", "numa4-memory-only"));
  EXPECT_THAT(nearest("small", kMachines), ElementsAre("numa2-small"));
}

TEST(Nearest, SaysNothingRatherThanNonsense) {
  EXPECT_THAT(nearest("xyzzy", kMachines), IsEmpty());
  EXPECT_THAT(nearest("", kMachines), IsEmpty());
  EXPECT_THAT(nearest("a", {"b"}), ElementsAre("b")) << "one slip is always allowed";
}

TEST(Nearest, GivesThreeAtMostAndNoneTwice) {
  EXPECT_THAT(nearest("aaaa", {"aaab", "aaac", "aaad", "aaae", "aaab"}),
              ElementsAre("aaab", "aaac", "aaad"));
}

TEST(Nearest, AnEndlessNameCostsNothing) {
  EXPECT_THAT(nearest(std::string(1 << 20, 'x'), kMachines), IsEmpty());
}

TEST(Suggestion, FallsBackToTheWholeList) {
  EXPECT_EQ(suggestion("claen", {"clean"}), "; did you mean 'clean'?");
  EXPECT_EQ(suggestion("xyzzy", {"one", "two"}), "; there are: one, two");
  EXPECT_EQ(suggestion("xyzzy", {}), "; there are none");
  EXPECT_EQ(suggestion("xyzzy", std::vector<std::string>(13, "name")), "; there are 13");
}

TEST(UnknownName, IsAUsageErrorThatTellsWhereToLook) {
  const Error error = unknown_name("kernel", "claen", {"clean"});
  EXPECT_EQ(error.kind, ErrorKind::kUsage);
  EXPECT_EQ(error.message,
            "unknown kernel 'claen'; did you mean 'clean'? (mmquake list shows all)");
  EXPECT_THAT(unknown_name("command", "rnu", {"run"}).message,
              testing::HasSubstr("mmquake --help"));
}

TEST(UnknownName, EscapesControlCharacters) {
  EXPECT_THAT(unknown_name("case", "\x1b[31m\n\x7f", {}).message,
              testing::HasSubstr("'\\x1b[31m\\x0a\\x7f'"));
}

TEST(UnknownName, CutsLongNamesBetweenCharacters) {
  const std::string message =
      unknown_name("case", std::string(127, 'x') + "\xc3\xa9tail", {}).message;
  EXPECT_THAT(message, testing::HasSubstr(std::string(127, 'x') + "...'"));
}

TEST(Printable, KeepsTextAndEscapesControls) {
  EXPECT_EQ(printable("caf\xc3\xa9 'x' \\"), "caf\xc3\xa9 'x' \\");
  EXPECT_EQ(printable(std::string("a\0b\t", 4)), "a\\x00b\\x09");
  EXPECT_EQ(printable("\xc2\x9b"
                      "31m\xc2"),
            "\\xc2\\x9b31m\xc2");
}

}  // namespace
}  // namespace mmquake
