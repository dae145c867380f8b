// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/plan/widen_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/plan/plan.h"

namespace mmquake {
namespace {

using ::testing::HasSubstr;

TEST(ParseWiden, TakesEveryPart) {
  const auto site = parse_widen("folio_copy+0x10:5-2000:p=0.25:comm=faulter:spin");
  ASSERT_TRUE(site) << site.error().message;
  EXPECT_EQ(site->site, "folio_copy+0x10");
  EXPECT_EQ(site->min_us, 5U);
  EXPECT_EQ(site->max_us, 2000U);
  EXPECT_DOUBLE_EQ(site->probability, 0.25);
  EXPECT_EQ(site->comm, "faulter");
  EXPECT_EQ(site->mode, "spin");
}

TEST(ParseWiden, ALineOfTheSourceIsASite) {
  const auto site = parse_widen("mm/rmap.c:1834:5-20:p=0.5");
  ASSERT_TRUE(site) << site.error().message;
  EXPECT_EQ(site->site, "mm/rmap.c:1834");
  EXPECT_EQ(site->max_us, 20U);
  EXPECT_EQ(source_line(site->site)->file, "mm/rmap.c");
  EXPECT_EQ(source_line(site->site)->line, 1834);
  EXPECT_EQ(parse_widen("arch/x86/mm/fault.c:12")->site, "arch/x86/mm/fault.c:12");
  EXPECT_FALSE(source_line("handle_userfault"));
  EXPECT_FALSE(parse_widen("mm/rmap.c")) << "a line is missing";
  EXPECT_FALSE(parse_widen("mm/rmap.c:0"));
}

TEST(ParseWiden, HasDefaults) {
  const auto site = parse_widen("handle_userfault");
  ASSERT_TRUE(site) << site.error().message;
  EXPECT_EQ(site->max_us, 1000U);
  EXPECT_EQ(site->mode, "auto");
}

TEST(ParseWiden, NonsenseNamesThePartAndTheRange) {
  for (const char* text : {"f:2000-5", "f:1-99999999", "f:abc", "f:p=2", "f:p=0", "f:p=x", "",
                           ":1-2", "f:-5-10", "f:p=nan"}) {
    const auto site = parse_widen(text);
    ASSERT_FALSE(site) << text;
    EXPECT_EQ(site.error().kind, ErrorKind::kUsage);
    EXPECT_THAT(site.error().message, HasSubstr("--widen"));
  }
}

TEST(WidenText, IsReadBackAsTheSameSite) {
  for (const char* text : {"f:0-1000", "a|b+0x3:5-20:p=0.25:comm=zap:spin:may-miss", "g:1-1:spin",
                           "mm/rmap.c:1834:0-5"}) {
    const auto site = parse_widen(text);
    ASSERT_TRUE(site) << text;
    EXPECT_EQ(widen_text(*site), text);
  }
}

}  // namespace
}  // namespace mmquake
