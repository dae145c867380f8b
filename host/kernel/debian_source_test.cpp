// SPDX-License-Identifier: GPL-2.0-or-later
//
// With an apt of scripts: it knows linux-source-9.9 in one version, and writes down what it is
// asked.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "host/kernel/fake_kernel.h"
#include "host/kernel/source.h"

namespace mmquake::kernel {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class DebianSourceTest : public testing::Test {
 protected:
  DebianSourceTest()
      : path_("PATH", (fake_.folder().root() / "bin").string() + ":" + std::getenv("PATH")) {
    set_version("9.9.1-1");
    script("apt-cache", R"sh(
case "$1" in
policy) if [ "$2" = linux-source-9.9 ] && [ -s $here/version ]; then
    printf '%s:\n  Installed: (none)\n  Candidate: %s\n' "$2" "$(cat $here/version)"; fi ;;
search) cat $here/search ;;
esac)sh");
    // -q -o X -o Y download PACKAGE=VERSION
    script("apt-get", R"sh(
if [ -e $here/offline ]; then
  echo "E: Could not resolve 'deb.example.org'"; exit 100; fi
echo dlstatus:1:50.0:Retrieving
dpkg-deb -b $here/package ./linux-source-9.9_x_all.deb)sh");
    fake_.write("search", "linux-source-9.9 - Linux kernel source\nlinux-source-9.9-x - y\n");
    fake_.write("package/DEBIAN/control",
                "Package: linux-source-9.9\nVersion: 9.9.1-1\nArchitecture: all\n"
                "Maintainer: someone <someone@example.org>\nDescription: x\n");
    fs::create_directories(fake_.folder().root() / "package/usr/src");
    Command tar;
    tar.argv = {"tar", "-cJf", "package/usr/src/linux-source-9.9.tar.xz", "source"};
    tar.directory = fake_.folder().root();
    const auto packed = run_command(tar);
    EXPECT_TRUE(packed && packed->exit_code == 0);
  }

  void script(const std::string& name, const std::string& body) {
    const std::string here = fake_.folder().root().string();
    const fs::path file =
        fake_.write("bin/" + name, "#!/bin/sh\nhere=" + here + "\necho \"" + name +
                                       " $*\" >> $here/asked\n" + body + "\n");
    fs::permissions(file, fs::perms::owner_all);
  }
  void set_version(const std::string& version) { fake_.write("version", version); }
  int times_asked(const std::string& what) const {
    const std::string asked = text_of(fake_.folder().root() / "asked");
    int times = 0;
    for (std::size_t at = asked.find(what); at != std::string::npos;
         at = asked.find(what, at + 1)) {
      ++times;
    }
    return times;
  }
  KernelSpec spec() const {
    KernelSpec spec = fake_.spec();
    spec.source = "debian:linux-source-9.9";
    return spec;
  }

  FakeKernel fake_;
  ScopedVariable path_;
  SilentReporter reporter_;
};

TEST_F(DebianSourceTest, IsDownloadedUnpackedAndBuilt) {
  const auto artifact = fake_.obtain(spec());
  ASSERT_TRUE(artifact) << artifact.error().message;
  EXPECT_EQ(artifact->source, "debian:linux-source-9.9=9.9.1-1");
  EXPECT_TRUE(holds(artifact->vmlinux, "<rmap one>"));
  EXPECT_EQ(times_asked("download linux-source-9.9=9.9.1-1"), 1);
  // The package has done its work.
  EXPECT_FALSE(fs::exists(fake_.build_tree() / "source.new.package"));
  EXPECT_FALSE(fs::exists(fake_.build_tree() / "source.new"));
}

TEST_F(DebianSourceTest, AptIsAskedOnce) {
  ASSERT_TRUE(fake_.obtain(spec()));
  ASSERT_TRUE(fake_.obtain(spec()));
  ASSERT_TRUE(KernelStore(fake_.cache()).find(spec()));
  EXPECT_EQ(times_asked("apt-cache policy"), 1);
}

TEST_F(DebianSourceTest, AnUnknownPackageIsAnErrorThatListsWhatThereIs) {
  const auto opened = open_source("debian:linux-source-8.8", fake_.cache(), reporter_);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().kind, ErrorKind::kUsage);
  EXPECT_THAT(opened.error().message, HasSubstr("'linux-source-8.8'"));
  EXPECT_THAT(opened.error().message, HasSubstr("linux-source-9.9"));
}

TEST_F(DebianSourceTest, WithoutListsTheErrorSaysAptGetUpdate) {
  set_version("");
  fake_.write("search", "");
  const auto opened = open_source("debian:linux-source-9.9", fake_.cache(), reporter_);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().kind, ErrorKind::kBroken);
  EXPECT_THAT(opened.error().message, HasSubstr("apt-get update"));
}

TEST_F(DebianSourceTest, WithoutListsTheNewestUnpackedOneIsUsed) {
  set_version("");
  fake_.write("search", "");
  for (const char* version : {"9.9.2-1", "9.9.10-1", "9.9.3-1"}) {
    fake_.write(std::string("cache/trees/linux-source-9.9_") + version + "/source/Makefile", "");
  }
  fake_.write("cache/trees/linux-source-9.9_9.9.11-1/source.new/Makefile", "");  // half there
  const auto opened = open_source("debian:linux-source-9.9", fake_.cache(), reporter_);
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_EQ((*opened)->identity(), "debian:linux-source-9.9=9.9.10-1");
}

TEST_F(DebianSourceTest, OfflineANewerVersionYieldsToTheOneInTheCache) {
  ASSERT_TRUE(fake_.obtain(spec()));
  set_version("9.9.2-1");
  fs::remove(fake_.cache() / "sources/linux-source-9.9.json");  // as a new apt list would
  fake_.write("offline", "");
  const auto failed = fake_.obtain(spec());
  ASSERT_FALSE(failed);
  EXPECT_THAT(failed.error().message, HasSubstr("Could not resolve 'deb.example.org'"));
  EXPECT_THAT(failed.error().message, HasSubstr("run the command again to use 9.9.1-1"));
  const auto again = fake_.obtain(spec());
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->source, "debian:linux-source-9.9=9.9.1-1");
}

TEST_F(DebianSourceTest, OfflineWithAnEmptyCacheIsAnErrorThatSaysWhatAptSaid) {
  fake_.write("offline", "");
  const auto failed = fake_.obtain(spec());
  ASSERT_FALSE(failed);
  EXPECT_THAT(failed.error().message, HasSubstr("Could not resolve 'deb.example.org'"));
  EXPECT_FALSE(fs::exists(fake_.build_tree() / "source"));
}

TEST_F(DebianSourceTest, AMetapackageIsNoSource) {
  fs::remove(fake_.folder().root() / "package/usr/src/linux-source-9.9.tar.xz");
  const auto failed = fake_.obtain(spec());
  ASSERT_FALSE(failed);
  EXPECT_THAT(failed.error().message, HasSubstr("holds no usr/src/*.tar.*"));
}

TEST_F(DebianSourceTest, ADamagedArchiveLeavesNoSource) {
  fake_.write("package/usr/src/linux-source-9.9.tar.xz", "no archive");
  const auto failed = fake_.obtain(spec());
  ASSERT_FALSE(failed);
  EXPECT_THAT(failed.error().message, HasSubstr("unpack linux-source-9.9 9.9.1-1"));
  EXPECT_FALSE(fs::exists(fake_.build_tree() / "source"));
}

}  // namespace
}  // namespace mmquake::kernel
