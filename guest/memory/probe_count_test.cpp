// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/memory/probe_count.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

namespace mmquake {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

TEST(HitsInProfile, AreTheSecondColumnOfTheEventsLine) {
  const char* text =
      "  migration_entry_wait_on_locked                              7               0\n"
      "  migration_entry_wait                                    12345               1\n";
  EXPECT_EQ(hits_in_profile(text, "migration_entry_wait"), 12345U);
  EXPECT_EQ(hits_in_profile(text, "migration_entry_wait_on_locked"), 7U);
  EXPECT_EQ(hits_in_profile(text, "migration"), std::nullopt);
  EXPECT_EQ(hits_in_profile("f x 0\n", "f"), std::nullopt);
  EXPECT_EQ(hits_in_profile("", "f"), std::nullopt);
}

// A folder of plain files takes every command.
class ProbeCountTest : public testing::Test {
 public:
  ProbeCountTest(const ProbeCountTest&) = delete;
  ProbeCountTest& operator=(const ProbeCountTest&) = delete;

 protected:
  ProbeCountTest() {
    std::string name = (fs::temp_directory_path() / "tracing-XXXXXX").string();
    folder_ = mkdtemp(name.data());
    fs::create_directories(folder_ / "events/mmquake/f");
    for (const auto& [file, text] :
         {std::pair{"kprobe_events", ""}, std::pair{"events/mmquake/f/enable", ""},
          std::pair{"kprobe_profile", "  f   42   0\n"}}) {
      std::ofstream(folder_ / file) << text;
    }
  }
  ~ProbeCountTest() override { fs::remove_all(folder_); }
  std::string text_of(const char* name) const {
    std::ifstream in(folder_ / name);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  }

  fs::path folder_;
};

TEST_F(ProbeCountTest, PutsTheProbeOnReadsItAndTakesItOff) {
  {
    const Result<ProbeCount> probe = ProbeCount::start({"f", "g"}, folder_.string());
    ASSERT_TRUE(probe) << probe.error().message;
    EXPECT_EQ(probe->function(), "f");
    EXPECT_EQ(text_of("events/mmquake/f/enable"), "1\n");
    ASSERT_TRUE(probe->calls());
    EXPECT_EQ(*probe->calls(), 42U);
  }
  EXPECT_EQ(text_of("kprobe_events"), "p:mmquake/f f\n-:mmquake/f\n");
  EXPECT_THAT(text_of("events/mmquake/f/enable"), HasSubstr("0\n"));
}

TEST_F(ProbeCountTest, WithoutTracefsItIsSkippedAndNamed) {
  const Result<ProbeCount> probe = ProbeCount::start({"f", "g"}, (folder_ / "none").string());
  ASSERT_FALSE(probe);
  EXPECT_EQ(probe.error().kind, ErrorKind::kSkipped);
  EXPECT_THAT(probe.error().message, HasSubstr("f, g"));
}

}  // namespace
}  // namespace mmquake
