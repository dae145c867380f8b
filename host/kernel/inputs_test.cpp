// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/kernel/inputs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace mmquake::kernel {
namespace {

TEST(Key, ChangesWithEachInputAndWithNothingElse) {
  const std::vector<Fragment> fragments = {{"a.config", "CONFIG_A=y\n"}};
  const std::vector<Patch> patches = {{"1.patch", "p1"}, {"2.patch", "p2"}};
  const std::vector<ModuleFile> widener = {{"Kbuild", "k"}, {"w.c", "w"}};
  const std::string key = key_of("debian:x=1", fragments, patches, widener, "gcc 12");
  EXPECT_EQ(key.size(), 32U);
  const std::set<std::string> keys = {
      key,
      key_of("debian:x=2", fragments, patches, widener, "gcc 12"),
      key_of("debian:x=1", {{"a.config", "CONFIG_A=n\n"}}, patches, widener, "gcc 12"),
      key_of("debian:x=1", {}, patches, widener, "gcc 12"),
      key_of("debian:x=1", fragments, {{"1.patch", "p1"}}, widener, "gcc 12"),
      key_of("debian:x=1", fragments, {{"1.patch", "p2"}, {"2.patch", "p1"}}, widener, "gcc 12"),
      key_of("debian:x=1", fragments, {{"1.patch", "p"}, {"2.patch", "1p2"}}, widener, "gcc 12"),
      key_of("debian:x=1", fragments, patches, {{"Kbuild", "k"}, {"w.c", "W"}}, "gcc 12"),
      key_of("debian:x=1", fragments, patches, widener, "gcc 13"),
      // One text that moves from the fragments to the patches.
      key_of("debian:x=1", {}, {{"", "CONFIG_A=y\n"}, patches[0], patches[1]}, widener, "gcc 12"),
  };
  EXPECT_EQ(keys.size(), 10U);
  const std::vector<Fragment> renamed = {{"elsewhere/b.config", "CONFIG_A=y\n"}};
  EXPECT_EQ(key_of("debian:x=1", renamed, patches, widener, "gcc 12"), key);
}

}  // namespace
}  // namespace mmquake::kernel
