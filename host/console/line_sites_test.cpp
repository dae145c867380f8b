// SPDX-License-Identifier: GPL-2.0-or-later
//
// Against a kernel in miniature (sample/), built with the tests: its line numbers are known.
#include "host/console/line_sites.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mmquake {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;
using testing::StartsWith;

class LineSites : public testing::TestWithParam<const char*> {
 protected:
  static Result<std::vector<std::string>> sites(const std::string& file, int line) {
    return sites_of_line(GetParam(), file, line);
  }
};

INSTANTIATE_TEST_SUITE_P(Builds, LineSites,
                         testing::Values(SAMPLE_VMLINUX, SAMPLE_VMLINUX_IN_TREE));

TEST_P(LineSites, AFunctionsLineHasOnePlace) {
  const auto found = sites("mm/fault.c", 21);
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_THAT(*found, ElementsAre(StartsWith("handle_fault+0x")));
}

TEST_P(LineSites, AnInlinedLineIsInItsCaller) {
  const auto inlined = sites("mm/fault.c", 16);
  ASSERT_TRUE(inlined) << inlined.error().message;
  EXPECT_THAT(*inlined, ElementsAre(StartsWith("handle_fault+0x")));
  const auto header = sites("inline/locks.h", 4);
  ASSERT_TRUE(header) << header.error().message;
  EXPECT_THAT(*header, ElementsAre(StartsWith("handle_fault+0x")));
  EXPECT_NE(*header, *inlined);
}

// twin() and same() are there twice: a name would mean either.
TEST_P(LineSites, OfNamesakesThePlaceIsOne) {
  const auto here = sites("mm/fault.c", 12);
  const auto there = sites("mm/other.c", 10);
  ASSERT_TRUE(here && there);
  EXPECT_THAT(*here, SizeIs(1));
  EXPECT_THAT(*there, SizeIs(1));
  EXPECT_NE(*here, *there);
  EXPECT_THAT((*here)[0], StartsWith("_text+0x"));
}

TEST_P(LineSites, WhatHasNoCodeIsSaid) {
  EXPECT_THAT(sites("mm/fault.c", 10).error().message, HasSubstr("near it line"));
  EXPECT_THAT(sites("mm/nothing.c", 1).error().message, HasSubstr("no code of 'mm/nothing.c'"));
  EXPECT_THAT(sites("fault.c", 21).error().message, HasSubstr("from the top"));
  EXPECT_FALSE(sites_of_line("/nowhere", "mm/fault.c", 21));
}

}  // namespace
}  // namespace mmquake
