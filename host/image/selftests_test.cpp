// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/image/selftests.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>

#include "host/image/program_files.h"
#include "host/process/process.h"

namespace mmquake {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class SelftestsTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "selftests-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    dir_ = name;
  }
  void TearDown() override { fs::remove_all(dir_); }

  fs::path put(const std::string& name, const std::string& text, bool executable = false) const {
    fs::create_directories((dir_ / name).parent_path());
    std::ofstream(dir_ / name) << text;
    if (executable) fs::permissions(dir_ / name, fs::perms::owner_all);
    return dir_ / name;
  }
  void build(const std::string& name, const std::vector<std::string>& flags) const {
    const fs::path source = put("source.c", "int main(void) { return 0; }\n");
    Command command{{"cc", "-o", (dir_ / name).string(), source.string()}, {}, {}};
    command.argv.insert(command.argv.end(), flags.begin(), flags.end());
    ASSERT_EQ(run_command(command)->exit_code, 0);
  }
  std::vector<std::string> ids(const std::vector<std::string>& patterns = {}) const {
    const auto all = list_selftests(dir_);
    EXPECT_TRUE(all) << all.error().message;
    const auto chosen = choose_selftests(*all, patterns);
    EXPECT_TRUE(chosen) << chosen.error().message;
    std::vector<std::string> out;
    for (const Selftest& test : *chosen) out.push_back(test.id());
    return out;
  }
  SelftestImage image(std::uint64_t limit_mib = 512) const {
    const auto tests = list_selftests(dir_);
    EXPECT_TRUE(tests) << tests.error().message;
    auto out = selftest_image(dir_, *tests, limit_mib);
    EXPECT_TRUE(out) << out.error().message;
    return out ? *out : SelftestImage{};
  }
  static std::string lack_of(const SelftestImage& image, const std::string& id) {
    const auto test = std::find_if(image.tests.begin(), image.tests.end(),
                                   [&](const Selftest& one) { return one.id() == id; });
    return test == image.tests.end() ? "it is not there" : test->lack;
  }
  static const ImageFile* file_in(const SelftestImage& image, const std::string& name) {
    const auto file = std::find_if(image.files.begin(), image.files.end(),
                                   [&](const ImageFile& one) { return one.name == name; });
    return file == image.files.end() ? nullptr : &*file;
  }

  fs::path dir_;
};

TEST_F(SelftestsTest, AListNamesItsTestsAndProgramsBesideThemCanBeAskedFor) {
  put("kselftest-list.txt", "mm:run_vmtests.sh\r\n\n# a comment\nvm/deep:one\nmm:run_vmtests.sh\n");
  put("mm/run_vmtests.sh", "#!/bin/bash\n", true);
  put("mm/helper.sh", "#!/bin/sh\n", true);
  put("mm/config", "CONFIG_X=y\n");
  EXPECT_THAT(ids(), ElementsAre("mm:run_vmtests.sh", "vm/deep:one"));
  EXPECT_THAT(ids({"mm:*"}), ElementsAre("mm:run_vmtests.sh", "mm:helper.sh"));
  EXPECT_THAT(ids({"one", "h?lper*"}), ElementsAre("vm/deep:one", "mm:helper.sh"));
}

TEST_F(SelftestsTest, AWrongLineOrPatternIsNamed) {
  for (const char* line : {"mm", "mm:", ":a", "/etc:passwd", "mm:../../x", "../x:y"}) {
    put("kselftest-list.txt", std::string("mm:a\n") + line + "\n");
    const auto tests = list_selftests(dir_);
    ASSERT_FALSE(tests) << line;
    EXPECT_EQ(tests.error().kind, ErrorKind::kUsage);
    EXPECT_THAT(tests.error().message, HasSubstr("line 2"));
  }
  put("kselftest-list.txt", "mm:compaction_test\n");
  const auto none = choose_selftests(*list_selftests(dir_), {"mm:compactoin_test"});
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error().message, HasSubstr("did you mean 'mm:compaction_test'"));
  put("kselftest-list.txt", "\n");
  EXPECT_THAT(list_selftests(dir_).error().message, HasSubstr("make -C"));
  EXPECT_THAT(list_selftests(dir_ / "nowhere").error().message, HasSubstr("is no folder"));
}

TEST_F(SelftestsTest, SettingsSayHowLong) {
  EXPECT_EQ(timeout_in("").value(), 45);
  EXPECT_EQ(timeout_in("# timeout=3\nnumber=4\ntimeout=180\n").value(), 180);
  EXPECT_EQ(timeout_in("timeout=0\r\n").value(), 0);
  for (const char* bad : {"timeout=", "timeout=-1", "timeout=1h", "timeout=99999999999"}) {
    EXPECT_FALSE(timeout_in(bad)) << bad;
  }
  put("kselftest-list.txt", "mm:a\n");
  put("mm/settings", "timeout=x\n");
  EXPECT_THAT(list_selftests(dir_).error().message, HasSubstr("mm/settings"));
  put("mm/settings", "timeout=7\n");
  EXPECT_EQ(list_selftests(dir_)->front().timeout_seconds, 7);
}

TEST_F(SelftestsTest, AFolderOfProgramsIsOneCollection) {
  put("mm/script.sh", "#!/bin/sh\n", true);
  put("mm/notes.txt", "no program", true);
  put("mm/quiet.sh", "#!/bin/sh\n");
  const auto tests = list_selftests(dir_ / "mm" / "");
  ASSERT_TRUE(tests) << tests.error().message;
  ASSERT_EQ(tests->size(), 1U);
  EXPECT_EQ(tests->front().id(), "mm:script.sh");
}

TEST_F(SelftestsTest, WhatTheGuestCannotRunSaysWhy) {
  put("kselftest-list.txt", "t:gone\nt:perl\nt:text\nt:sh\n");
  put("t/perl", "#!/usr/bin/env -S perl -w\n", true);
  put("t/text", "nothing\n", true);
  put("t/sh", "#! /bin/sh -e\n", true);
  const SelftestImage made = image();
  EXPECT_THAT(lack_of(made, "t:gone"), HasSubstr("was not built"));
  EXPECT_THAT(lack_of(made, "t:perl"), HasSubstr("script for perl"));
  EXPECT_THAT(lack_of(made, "t:text"), HasSubstr("no script"));
  if (static_busybox()) {
    EXPECT_THAT(lack_of(made, "t:sh"), IsEmpty());
  } else {
    EXPECT_THAT(lack_of(made, "t:sh"), HasSubstr("apt install busybox-static"));
  }
}

TEST_F(SelftestsTest, LibrariesComeFromThisHost) {
  build("mm-static", {"-static"});
  build("dynamic", {});
  fs::create_directories(dir_ / "mm/sub");
  fs::rename(dir_ / "mm-static", dir_ / "mm/static");
  fs::rename(dir_ / "dynamic", dir_ / "mm/dynamic");
  put("mm/sub/data", "bytes");
  fs::create_symlink("sub/data", dir_ / "mm/link");
  put("kselftest-list.txt", "mm:static\nmm:dynamic\n");
  const SelftestImage made = image();
  EXPECT_THAT(lack_of(made, "mm:static"), IsEmpty());
  EXPECT_THAT(lack_of(made, "mm:dynamic"), IsEmpty());
  EXPECT_TRUE(std::any_of(made.files.begin(), made.files.end(),
                          [](const ImageFile& file) { return file.name.ends_with("/libc.so.6"); }));
  EXPECT_NE(file_in(made, loader_of(dir_ / "mm/dynamic")->substr(1)), nullptr);
  ASSERT_NE(file_in(made, "payload/kselftest/mm/sub/data"), nullptr);
  EXPECT_FALSE(file_in(made, "payload/kselftest/mm/sub/data")->executable);
  ASSERT_NE(file_in(made, "payload/kselftest/mm/link"), nullptr);
  EXPECT_EQ(file_in(made, "payload/kselftest/mm/link")->text, "sub/data");
  EXPECT_EQ(file_in(made, "payload/kselftest-list.txt")->text, "mm:static\nmm:dynamic\n");
  const auto large = selftest_image(dir_, *list_selftests(dir_), 0);
  ASSERT_FALSE(large);
  EXPECT_THAT(large.error().message, HasSubstr("--test"));
}

TEST_F(SelftestsTest, ALibraryThatIsNotHereIsNamed) {
  put("lib.c", "int f(void) { return 0; }\n");
  put("user.c", "int f(void);\nint main(void) { return f(); }\n");
  const std::string library = (dir_ / "libmmquake-none.so").string();
  ASSERT_EQ(
      run_command({{"cc", "-shared", "-o", library, (dir_ / "lib.c").string()}, {}, {}})->exit_code,
      0);
  fs::create_directories(dir_ / "mm");
  Command link{{"cc", "-o", (dir_ / "mm/user").string(), (dir_ / "user.c").string(),
                "-L" + dir_.string(), "-lmmquake-none"},
               {},
               {}};
  ASSERT_EQ(run_command(link)->exit_code, 0);
  fs::remove(library);
  put("kselftest-list.txt", "mm:user\n");
  const std::string lack = lack_of(image(), "mm:user");
  EXPECT_THAT(lack, HasSubstr("libmmquake-none.so"));
  EXPECT_THAT(lack, HasSubstr("LDFLAGS=-static"));
}

}  // namespace
}  // namespace mmquake
