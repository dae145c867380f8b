// SPDX-License-Identifier: GPL-2.0-or-later
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "host/kernel/fake_kernel.h"
#include "host/kernel/tree_lock.h"

namespace mmquake::kernel {
namespace {

namespace fs = std::filesystem;

class GcTest : public testing::Test {
 protected:
  // The folder of the kernel, after its lease has ended.
  fs::path build(const KernelSpec& spec) {
    const auto artifact = fake_.obtain(spec);
    EXPECT_TRUE(artifact) << artifact.error().message;
    return artifact ? artifact->dir : fs::path();
  }
  std::uint64_t gc(const std::vector<KernelSpec>& keep) {
    const auto freed = KernelStore(fake_.cache()).gc(keep);
    EXPECT_TRUE(freed) << freed.error().message;
    return freed ? *freed : 0;
  }

  FakeKernel fake_;
};

TEST_F(GcTest, KeepsWhatASpecUsesAndRemovesTheRest) {
  const fs::path old = build(fake_.spec());
  fake_.write_object("mm/rmap", "rmap two");
  const fs::path used = build(fake_.spec());
  const std::uint64_t freed = gc({fake_.spec()});
  EXPECT_GT(freed, 0U);
  EXPECT_FALSE(fs::exists(old));
  EXPECT_TRUE(fs::exists(used / "vmlinux"));
  EXPECT_TRUE(fs::exists(fake_.build_tree() / "source"));
  EXPECT_EQ(gc({fake_.spec()}), 0U);
}

TEST_F(GcTest, TreesOfOtherSourcesGo) {
  build(fake_.spec());
  const fs::path tree = fake_.build_tree();
  gc({});
  EXPECT_FALSE(fs::exists(tree));
  EXPECT_FALSE(fs::exists(tree.string() + ".lock"));
  EXPECT_TRUE(fs::is_empty(fake_.cache() / "kernels"));
  build(fake_.spec());  // and nothing is in the way of a new one
}

TEST_F(GcTest, AnArtifactInUseStays) {
  const auto artifact = fake_.obtain(fake_.spec());
  ASSERT_TRUE(artifact) << artifact.error().message;
  gc({});
  EXPECT_TRUE(fs::exists(artifact->vmlinux));
}

TEST_F(GcTest, ALockedTreeStays) {
  build(fake_.spec());
  const fs::path tree = fake_.build_tree();
  {
    const auto lock = TreeLock::try_now(tree.string() + ".lock");
    ASSERT_TRUE(lock && *lock);
    gc({});
    EXPECT_TRUE(fs::exists(tree / "source"));
  }
  gc({});
  EXPECT_FALSE(fs::exists(tree));
}

TEST_F(GcTest, ASpecWhoseSourceCannotBeToldNowKeepsWhatItMayUse) {
  const fs::path kernel = build(fake_.spec());
  const fs::path tree = fake_.build_tree();
  fs::rename(fake_.source(), fake_.folder().root() / "moved");  // an unmounted disk
  gc({fake_.spec()});
  EXPECT_TRUE(fs::exists(kernel));
  EXPECT_TRUE(fs::exists(tree));
}

TEST_F(GcTest, ScratchOfKilledBuildsAndOutputOfOtherCompilersGo) {
  build(fake_.spec());
  const fs::path tree = fake_.build_tree();
  const std::string name = tree.filename();
  for (const char* file : {"source.new/Makefile", "source.new.package/x.deb",
                           "artifact.new/vmlinux", "patched/mm/rmap.c", "build-00000000/vmlinux"}) {
    fake_.write("cache/trees/" + name + "/" + file, "x");
  }
  fake_.write("cache/kernels/.gone-1/vmlinux", "x");
  fake_.write("cache/trees/half_1/source.new/Makefile", "x");
  gc({fake_.spec()});
  for (const char* folder :
       {"source.new", "source.new.package", "artifact.new", "patched", "build-00000000"}) {
    EXPECT_FALSE(fs::exists(tree / folder)) << folder;
  }
  EXPECT_FALSE(fs::exists(fake_.cache() / "kernels/.gone-1"));
  EXPECT_FALSE(fs::exists(fake_.cache() / "trees/half_1"));
  // The build tree still works.
  fake_.write_object("mm/rmap", "rmap two");
  build(fake_.spec());
  EXPECT_EQ(fake_.compiled(), std::vector<std::string>{"mm/rmap.o"});
}

}  // namespace
}  // namespace mmquake::kernel
