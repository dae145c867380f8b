// SPDX-License-Identifier: GPL-2.0-or-later
//
// With an apt of scripts: linux-image-cloud leads to linux-image-9.9-cloud, which is empty and
// leads to linux-binary-9.9-cloud, as from 6.19 on.
#include "host/kernel/packaged_kernel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "host/kernel/fake_kernel.h"

namespace mmquake::kernel {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class PackagedKernelTest : public testing::Test {
 protected:
  PackagedKernelTest()
      : path_("PATH", (fake_.folder().root() / "bin").string() + ":" + std::getenv("PATH")) {
    // Options come first; the word and its package are the last two.
    script("apt-cache", R"sh(
for word; do before=$name; name=$word; done
case "$before" in
policy) case "$name" in linux-*cloud) v=$(cat $here/version) ;; *) v='(none)' ;; esac
  printf '%s:\n  Installed: (none)\n  Candidate: %s\n' "$name" "$v" ;;
depends) case "$name" in
  linux-image-cloud) printf '%s\n  Depends: linux-image-9.9-cloud\n' "$name" ;;
  linux-image-9.9-cloud)
    printf '%s\n  PreDepends: kmod\n  Depends: linux-binary-9.9-cloud\n' "$name" ;;
  *) echo "$name" ;;
  esac ;;
esac)sh");
    script("apt-get", R"sh(
for word; do last=$word; done
case "$*" in
*indextargets*) echo 'bookworm-security http://security.example.org/debian/'
  echo 'bookworm http://deb.example.org/debian/' ;;
*update*) if [ -e $here/offline ]; then echo "E: no network"; exit 100; fi ;;
*) if [ -e $here/offline ]; then echo "E: no network"; exit 100; fi
  name=${last%%=*}; dpkg-deb -b $here/$name ./${name}_1_all.deb ;;
esac)sh");
    fake_.write("version", "9.9.1-1");
    for (const char* name :
         {"linux-image-cloud", "linux-image-9.9-cloud", "linux-binary-9.9-cloud"}) {
      fake_.write(std::string(name) + "/DEBIAN/control",
                  std::string("Package: ") + name +
                      "\nVersion: 9.9.1-1\nArchitecture: all\n"
                      "Maintainer: someone <someone@example.org>\nDescription: x\n");
    }
    fake_.write("linux-binary-9.9-cloud/boot/vmlinuz-9.9-cloud", "a kernel\n");
    fake_.write("linux-binary-9.9-cloud/boot/config-9.9-cloud", "CONFIG_NUMA=y\n");
    spec_.name = "packaged";
    spec_.source = "debian-image:linux-image-cloud";
  }

  void script(const std::string& name, const std::string& body) {
    const std::string here = fake_.folder().root().string();
    const fs::path file =
        fake_.write("bin/" + name, "#!/bin/sh\nhere=" + here + "\necho \"" + name +
                                       " $*\" >> $here/asked\n" + body + "\n");
    fs::permissions(file, fs::perms::owner_all);
  }
  std::string asked() const { return text_of(fake_.folder().root() / "asked"); }

  FakeKernel fake_;
  ScopedVariable path_;
  SilentReporter reporter_;
  KernelSpec spec_;
};

TEST_F(PackagedKernelTest, IsTakenOutOfThePackageThatHoldsIt) {
  const auto artifact = fake_.obtain(spec_);
  ASSERT_TRUE(artifact) << artifact.error().message;
  EXPECT_EQ(text_of(artifact->bzimage), "a kernel\n");
  EXPECT_EQ(artifact->release, "9.9-cloud");
  EXPECT_TRUE(artifact->vmlinux.empty());
  EXPECT_TRUE(artifact->widener.empty());
  EXPECT_THAT(artifact->source, HasSubstr("linux-binary-9.9-cloud=9.9.1-1"));
  // Nothing but the artifact stays.
  int folders = 0;
  for (const auto& entry : fs::directory_iterator(fake_.cache() / "kernels")) {
    folders += entry.is_directory() ? 1 : 0;
  }
  EXPECT_EQ(folders, 1);
  const auto found = KernelStore(fake_.cache()).find(spec_);
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(found->key, artifact->key);
}

TEST_F(PackagedKernelTest, ANewPackageHasItBesideItsModules) {
  const fs::path package = fake_.folder().root() / "linux-binary-9.9-cloud";
  fs::create_directories(package / "usr/lib/modules/9.9-cloud");
  fs::rename(package / "boot/vmlinuz-9.9-cloud", package / "usr/lib/modules/9.9-cloud/vmlinuz");
  const auto artifact = fake_.obtain(spec_);
  ASSERT_TRUE(artifact) << artifact.error().message;
  EXPECT_EQ(artifact->release, "9.9-cloud");
  EXPECT_EQ(text_of(artifact->bzimage), "a kernel\n");
}

TEST_F(PackagedKernelTest, ASuiteHasAnAptOfItsOwnOnTheHostsArchive) {
  spec_.suite = "bullseye";
  ASSERT_TRUE(fake_.obtain(spec_));
  EXPECT_EQ(text_of(fake_.cache() / "apt/bullseye/sources.list"),
            "deb http://deb.example.org/debian/ bullseye main\n");
  EXPECT_THAT(asked(), HasSubstr("Dir::Etc::sourceparts=/dev/null"));
}

TEST_F(PackagedKernelTest, ANewVersionIsAnotherArtifactAndGcTakesTheOldOne) {
  std::string key;
  {
    const auto first = fake_.obtain(spec_);
    ASSERT_TRUE(first);
    key = first->key;
  }
  fake_.write("version", "9.9.2-1");
  fs::remove_all(fake_.cache() / "sources");  // a day later
  {
    const auto second = fake_.obtain(spec_);
    ASSERT_TRUE(second) << second.error().message;
    EXPECT_NE(second->key, key);
  }
  KernelStore store(fake_.cache());
  ASSERT_TRUE(store.gc({spec_}));
  EXPECT_TRUE(store.find(spec_));
  EXPECT_FALSE(fs::exists(fake_.cache() / "kernels" / key));
}

TEST_F(PackagedKernelTest, WithoutANetworkTheOneInTheCacheServes) {
  ASSERT_TRUE(fake_.obtain(spec_));
  fake_.write("offline", "");
  ASSERT_TRUE(fake_.obtain(spec_));
  fs::remove_all(fake_.cache() / "kernels");
  const auto lost = fake_.obtain(spec_);
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().kind, ErrorKind::kBroken);
  EXPECT_THAT(lost.error().message, HasSubstr("no network"));
}

TEST_F(PackagedKernelTest, AnUnknownPackageIsNamed) {
  spec_.source = "debian-image:linux-image-typo";
  const auto artifact = fake_.obtain(spec_);
  ASSERT_FALSE(artifact);
  EXPECT_EQ(artifact.error().kind, ErrorKind::kUsage);
  EXPECT_THAT(artifact.error().message, HasSubstr("'linux-image-typo'"));
}

TEST_F(PackagedKernelTest, APackageWithoutAKernelIsSaid) {
  fs::remove_all(fake_.folder().root() / "linux-binary-9.9-cloud/boot");
  const auto artifact = fake_.obtain(spec_);
  ASSERT_FALSE(artifact);
  EXPECT_THAT(artifact.error().message, HasSubstr("no file vmlinuz"));
}

TEST(Dependencies, OnlyKernelsPartsAndEachOnce) {
  EXPECT_THAT(dependencies_in("linux-image-x\n PreDepends: kmod\n |Depends: linux-image-a\n"
                              "  Depends: linux-image-a\n  Suggests: linux-image-doc\n"
                              "  Depends: linux-modules-b\n",
                              {"linux-image-", "linux-modules-"}),
              ElementsAre("linux-image-a", "linux-modules-b"));
}

}  // namespace
}  // namespace mmquake::kernel
