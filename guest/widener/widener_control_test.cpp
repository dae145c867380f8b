// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/widener/widener_control.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>

namespace mmquake {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

class WidenerControlTest : public testing::Test {
 public:
  WidenerControlTest(const WidenerControlTest&) = delete;
  WidenerControlTest& operator=(const WidenerControlTest&) = delete;

 protected:
  WidenerControlTest() {
    std::string name = (std::filesystem::temp_directory_path() / "widener-XXXXXX").string();
    directory_ = mkdtemp(name.data());
  }
  ~WidenerControlTest() override { std::filesystem::remove_all(directory_); }

  void write_file(const std::string& name, const std::string& text) {
    std::ofstream(directory_ / name) << text;
  }
  std::string commands() {
    std::ostringstream text;
    text << std::ifstream(directory_ / "control").rdbuf();
    return text.str();
  }

  std::filesystem::path directory_;
};

WidenSite site_at(const std::string& name) {
  WidenSite site;
  site.site = name;
  site.max_us = 30000;
  site.probability = 0.7;
  site.comm = "faulter";
  return site;
}

TEST_F(WidenerControlTest, ConfiguresWhileDisabledAndEnablesLast) {
  write_file("control", "");
  WidenSite plain;
  plain.site = "folio_copy+0x1f";
  plain.mode = "spin";
  ASSERT_TRUE(WidenerControl(directory_).configure({site_at("handle_userfault"), plain}, 42));
  EXPECT_EQ(commands(),
            "enable 0\nclear\nseed 42\nadd handle_userfault 0 30000 700000 auto faulter\n"
            "add folio_copy+0x1f 0 0 1000000 spin\nenable 1\n");
}

TEST_F(WidenerControlTest, OfSeveralNamesTheFirstThatIsThere) {
  EXPECT_THAT(names_of(site_at("f")), ElementsAre("f"));
  EXPECT_THAT(names_of(site_at("f+0x1|g|h")), ElementsAre("f+0x1", "g", "h"));
  write_file("control", "");  // knows every name
  ASSERT_TRUE(WidenerControl(directory_).configure({site_at("f|g")}, 1));
  EXPECT_THAT(commands(), HasSubstr("add f 0 30000"));
  EXPECT_THAT(commands(), Not(HasSubstr("add g")));
}

TEST_F(WidenerControlTest, DisableOnlyDisables) {
  write_file("control", "");
  ASSERT_TRUE(WidenerControl(directory_).disable());
  EXPECT_EQ(commands(), "enable 0\n");
}

TEST_F(WidenerControlTest, WithoutTheModuleIsSkipped) {
  const Result<> result = WidenerControl(directory_).configure({}, 1);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().kind, ErrorKind::kSkipped);
  EXPECT_THAT(result.error().message, HasSubstr("not loaded"));
}

TEST_F(WidenerControlTest, ARefusedCommandIsBroken) {
  std::filesystem::create_symlink("/dev/full", directory_ / "control");
  const Result<> result = WidenerControl(directory_).configure({}, 1);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().kind, ErrorKind::kBroken);
  EXPECT_THAT(result.error().message, HasSubstr("'enable 0'"));
}

TEST_F(WidenerControlTest, WhatIsOutOfRangeIsRefusedBeforeAnyCommand) {
  write_file("control", "");
  std::vector<WidenSite> bad(7, site_at("handle_userfault"));
  bad[0].site = "two words";
  bad[1].min_us = 30001;
  bad[2].max_us = 10000001;
  bad[3].probability = 1.5;
  bad[4].mode = "sleep";
  bad[5].comm = "sixteencharacter";
  bad[6].probability = std::numeric_limits<double>::quiet_NaN();
  for (const WidenSite& site : bad) {
    const Result<> result = WidenerControl(directory_).configure({site}, 1);
    ASSERT_FALSE(result) << add_command(site);
    EXPECT_EQ(result.error().kind, ErrorKind::kUsage);
  }
  EXPECT_EQ(commands(), "");
}

TEST_F(WidenerControlTest, ReadsTheCounters) {
  write_file("sites",
             "handle_userfault hits=12 effective=8 slept=7 spun=1 skipped_full=0 missed=0\n"
             "folio_copy hits=18446744073709551615 effective=0 slept=0\n");
  const auto counts = WidenerControl(directory_).read();
  ASSERT_TRUE(counts) << counts.error().message;
  ASSERT_EQ(counts->size(), 2U);
  EXPECT_EQ(counts->at(0).site, "handle_userfault");
  EXPECT_EQ(counts->at(0).hits, 12U);
  EXPECT_EQ(counts->at(0).effective, 8U);
  EXPECT_EQ(counts->at(0).slept, 7U);
  EXPECT_EQ(counts->at(1).hits, std::numeric_limits<std::uint64_t>::max());
}

TEST(ParseWidenerSites, QuotesALineThatItCannotRead) {
  for (const char* text : {"\n", "f\n", "f hits=1\n", "f hits=x effective=1 slept=1\n",
                           "f hits= effective=1 slept=1\n", "f effective=1 hits=1 slept=1\n"}) {
    const auto counts = parse_widener_sites(text);
    ASSERT_FALSE(counts) << text;
    EXPECT_EQ(counts.error().kind, ErrorKind::kBroken);
  }
}

TEST(SiteError, TellsWhoHasToAct) {
  const WidenSite site = site_at("no_such_symbol");
  EXPECT_EQ(site_error(site, ENOENT).kind, ErrorKind::kSkipped);
  EXPECT_THAT(site_error(site, ENOENT).message, HasSubstr("no_such_symbol"));
  EXPECT_EQ(site_error(site, EEXIST).kind, ErrorKind::kUsage);
  EXPECT_EQ(site_error(site, EILSEQ).kind, ErrorKind::kUsage);
  EXPECT_EQ(site_error(site, EINVAL).kind, ErrorKind::kUsage);
  EXPECT_EQ(site_error(site, ENOMEM).kind, ErrorKind::kBroken);
}

}  // namespace
}  // namespace mmquake
