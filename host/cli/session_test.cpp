// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/cli/session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mmquake {
namespace {

TEST(ParseParams, SplitsAtTheFirstEquals) {
  const auto params = parse_params({"a=1", "b=x=y", "c="});
  ASSERT_TRUE(params) << params.error().message;
  EXPECT_THAT(*params, testing::ElementsAre(testing::Pair("a", "1"), testing::Pair("b", "x=y"),
                                            testing::Pair("c", "")));
  EXPECT_FALSE(parse_params({"novalue"}));
  EXPECT_FALSE(parse_params({"=v"}));
}

TEST(ShellWord, QuotesOnlyWhatNeedsIt) {
  EXPECT_EQ(shell_word("uffd-thp-migration"), "uffd-thp-migration");
  EXPECT_EQ(shell_word("a b"), "'a b'");
  EXPECT_EQ(shell_word("it's"), "'it'\\''s'");
  EXPECT_EQ(shell_word(""), "''");
  EXPECT_EQ(shell_word("$(x)"), "'$(x)'");
}

}  // namespace
}  // namespace mmquake
