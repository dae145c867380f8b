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

TEST(ShellWords, AreWhatWasPutTogether) {
  const std::vector<std::string> words = {"a", "", "it's", "x y", "$(x)", "f|g:0-5", "-\\-"};
  std::string command;
  for (const std::string& word : words) command += (command.empty() ? "" : " ") + shell_word(word);
  const auto again = shell_words(command);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(*again, words);
  EXPECT_TRUE(shell_words("")->empty());
  EXPECT_FALSE(shell_words("a 'b"));
}

}  // namespace
}  // namespace mmquake
