// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/kernel/fragment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mmquake::kernel {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

TEST(WantedOptions, ALaterLineWinsInOneFileAndAcrossFiles) {
  const auto wanted = wanted_options(
      {{"base.config", "# comment\nCONFIG_SMP=y\nCONFIG_NR_CPUS=8\n\nCONFIG_NR_CPUS=32\n"},
       {"more.config", "# CONFIG_SMP is not set\nCONFIG_CMDLINE=\"a=b c\"\r\nCONFIG_KSM=n"}});
  ASSERT_TRUE(wanted) << wanted.error().message;
  EXPECT_THAT(*wanted,
              UnorderedElementsAre(Pair("CONFIG_SMP", "n"), Pair("CONFIG_NR_CPUS", "32"),
                                   Pair("CONFIG_CMDLINE", "\"a=b c\""), Pair("CONFIG_KSM", "n")));
}

TEST(WantedOptions, NonsenseNamesFileAndLine) {
  for (const char* line : {"SMP=y", "CONFIG_SMP", "CONFIG_=y", "CONFIG_A-B=y", "config_SMP=y"}) {
    const auto wanted = wanted_options({{"base.config", std::string("# first\n") + line + "\n"}});
    ASSERT_FALSE(wanted) << line;
    EXPECT_EQ(wanted.error().kind, ErrorKind::kUsage);
    EXPECT_THAT(wanted.error().message, HasSubstr(std::string("base.config:2: '") + line + "'"));
  }
}

TEST(Merge, FragmentsTakeThePlaceOfWhatWasThere) {
  const auto merged = merge(
      "#\n# Automatically generated\n#\n# CONFIG_SMP is not set\n"
      "CONFIG_KSM=y\nCONFIG_KSM_MORE=y\n",
      {{"a", "CONFIG_SMP=y\n"}, {"b", "CONFIG_KSM=n\n"}});
  ASSERT_TRUE(merged) << merged.error().message;
  EXPECT_EQ(*merged,
            "#\n# Automatically generated\n#\nCONFIG_KSM_MORE=y\n# CONFIG_KSM is not set\n"
            "CONFIG_SMP=y\n");
}

TEST(CheckOptions, WhatSurvivedIsFine) {
  const auto kept = check_options(
      {{"a", "CONFIG_SMP=y\nCONFIG_KSM=n\n# CONFIG_GONE is not set\nCONFIG_NR_CPUS=32\n"}},
      "CONFIG_SMP=y\n# CONFIG_KSM is not set\nCONFIG_NR_CPUS=32\nCONFIG_OTHER=y\n");
  EXPECT_TRUE(kept) << kept.error().message;
}

TEST(CheckOptions, AnOptionThatNotEverySeriesHasMayBeAbsentButNotOff) {
  const std::vector<Fragment> fragments = {
      {"a", "CONFIG_SMP=y\nCONFIG_FULL=y  # where it exists\n"}};
  EXPECT_TRUE(check_options(fragments, "CONFIG_SMP=y\n"));
  EXPECT_TRUE(check_options(fragments, "CONFIG_SMP=y\nCONFIG_FULL=y\n"));
  const auto off = check_options(fragments, "CONFIG_SMP=y\n# CONFIG_FULL is not set\n");
  ASSERT_FALSE(off);
  EXPECT_THAT(off.error().message, HasSubstr("CONFIG_FULL=y (is not set)"));
  const auto merged = merge("", fragments);
  ASSERT_TRUE(merged);
  EXPECT_THAT(*merged, HasSubstr("CONFIG_FULL=y\n"));
}

TEST(CheckOptions, AllLostOnesAreListedWithWhatTheyBecame) {
  const auto kept = check_options(
      {{"dir/base.config",
        "CONFIG_SMP=y\nCONFIG_NUMA=y\nCONFIG_NR_CPUS=32\nCONFIG_TYPO=y\n"
        "CONFIG_KSM=n\nCONFIG_FINE=y\n"}},
      "CONFIG_SMP=y\n# CONFIG_NUMA is not set\nCONFIG_NR_CPUS=8\nCONFIG_KSM=y\nCONFIG_FINE=y\n");
  ASSERT_FALSE(kept);
  EXPECT_THAT(kept.error().message, HasSubstr("4 options of base.config"));
  for (const char* part : {"CONFIG_NUMA=y (is not set)", "CONFIG_NR_CPUS=32 (is 8)",
                           "CONFIG_TYPO=y (is absent)", "CONFIG_KSM=n (is y)"}) {
    EXPECT_THAT(kept.error().message, HasSubstr(part));
  }
  EXPECT_THAT(kept.error().message, Not(HasSubstr("CONFIG_FINE")));
}

}  // namespace
}  // namespace mmquake::kernel
