// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/plan/directories.h"

#include <gmock/gmock.h>

#include <map>
#include <optional>

#include "host/plan/plan.h"
#include "host/plan/test_tree.h"

namespace mmquake {
namespace {

namespace fs = std::filesystem;

// Puts the environment back as it was.
class DirectoriesTest : public testing::Test {
 protected:
  DirectoriesTest() {
    for (const char* name :
         {"HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "MMQUAKE_DATA"}) {
      const char* value = std::getenv(name);
      before_[name] = value == nullptr ? std::nullopt : std::optional<std::string>(value);
      unsetenv(name);
    }
    setenv("HOME", "/home/u", 1);
  }
  ~DirectoriesTest() override {
    for (const auto& [name, value] : before_) {
      if (value) {
        setenv(name.c_str(), value->c_str(), 1);
      } else {
        unsetenv(name.c_str());
      }
    }
  }
  DirectoriesTest(const DirectoriesTest&) = delete;
  DirectoriesTest& operator=(const DirectoriesTest&) = delete;

  TestTree tree_;

 private:
  std::map<std::string, std::optional<std::string>> before_;
};

TEST_F(DirectoriesTest, AreBelowHome) {
  EXPECT_EQ(cache_dir(), "/home/u/.cache/mmquake");
  EXPECT_EQ(state_dir(), "/home/u/.local/state/mmquake");
  EXPECT_EQ(runtime_dir(), "/tmp");
}

TEST_F(DirectoriesTest, FollowTheXdgVariables) {
  setenv("XDG_CACHE_HOME", "/big/cache", 1);
  setenv("XDG_STATE_HOME", "/big/state", 1);
  setenv("XDG_RUNTIME_DIR", tree_.root().c_str(), 1);
  EXPECT_EQ(cache_dir(), "/big/cache/mmquake");
  EXPECT_EQ(state_dir(), "/big/state/mmquake");
  EXPECT_EQ(runtime_dir(), tree_.root());
}

TEST_F(DirectoriesTest, RelativeAndEmptyVariablesCountAsUnset) {
  for (const char* value : {"relative/cache", ".", ""}) {
    setenv("XDG_CACHE_HOME", value, 1);
    setenv("XDG_STATE_HOME", value, 1);
    setenv("XDG_RUNTIME_DIR", value, 1);
    EXPECT_EQ(cache_dir(), "/home/u/.cache/mmquake");
    EXPECT_EQ(state_dir(), "/home/u/.local/state/mmquake");
    EXPECT_EQ(runtime_dir(), "/tmp");
  }
}

TEST_F(DirectoriesTest, ARuntimeDirectoryThatIsNotThereIsNotTaken) {
  setenv("XDG_RUNTIME_DIR", (tree_.root() / "gone").c_str(), 1);
  EXPECT_EQ(runtime_dir(), "/tmp");
}

TEST_F(DirectoriesTest, WithoutHomeTheyAreStillAbsolute) {
  for (const char* value : {"", "relative"}) {
    setenv("HOME", value, 1);
    EXPECT_TRUE(cache_dir().is_absolute()) << cache_dir();
    EXPECT_TRUE(state_dir().is_absolute()) << state_dir();
  }
  unsetenv("HOME");
  EXPECT_TRUE(cache_dir().is_absolute()) << cache_dir();
  EXPECT_EQ(cache_dir().filename(), "mmquake");
  EXPECT_EQ(cache_dir().parent_path().filename(), ".cache");
}

TEST_F(DirectoriesTest, DataIsTheSourceTreeUnlessTheUserSaysOtherwise) {
  EXPECT_EQ(data_dir(), MMQUAKE_SOURCE_DIR);
  setenv("MMQUAKE_DATA", "", 1);
  EXPECT_EQ(data_dir(), MMQUAKE_SOURCE_DIR);
  setenv("MMQUAKE_DATA", tree_.root().c_str(), 1);
  EXPECT_EQ(data_dir(), tree_.root());
  setenv("MMQUAKE_DATA", "some/where", 1);
  EXPECT_EQ(data_dir(), fs::current_path() / "some/where");
}

TEST_F(DirectoriesTest, DataThatIsNotThereIsAnErrorThatNamesTheVariable) {
  setenv("MMQUAKE_DATA", (tree_.root() / "gone").c_str(), 1);
  const auto machine = Catalogue(data_dir() / "configs").machine("numa2");
  ASSERT_FALSE(machine);
  EXPECT_EQ(machine.error().kind, ErrorKind::kUsage);
  EXPECT_THAT(machine.error().message, testing::HasSubstr("MMQUAKE_DATA"));
}

}  // namespace
}  // namespace mmquake
