// SPDX-License-Identifier: GPL-2.0-or-later
//
// Whole builds, of a kernel that takes a fraction of a second.
#include "host/kernel/kernel_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "host/kernel/fake_kernel.h"

namespace mmquake::kernel {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class KernelStoreTest : public testing::Test {
 protected:
  KernelArtifact built(const KernelSpec& spec) {
    auto artifact = fake_.obtain(spec);
    EXPECT_TRUE(artifact) << artifact.error().message;
    return artifact ? *artifact : KernelArtifact{};
  }
  std::string error_of(const KernelSpec& spec) {
    const auto artifact = fake_.obtain(spec);
    EXPECT_FALSE(artifact);
    return artifact ? "" : artifact.error().message;
  }
  // Nothing that a reader could take for an artifact but the artifacts themselves.
  std::vector<std::string> artifact_folders() const {
    std::vector<std::string> out;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(fake_.cache() / "kernels", error)) {
      out.push_back(entry.path().filename());
    }
    return out;
  }

  FakeKernel fake_;
};

TEST_F(KernelStoreTest, BuildsEverythingThatAnArtifactHolds) {
  const KernelArtifact artifact = built(fake_.spec());
  EXPECT_EQ(artifact.name, "fake");
  EXPECT_EQ(artifact.release, "6.1.0-fake");
  EXPECT_EQ(artifact.dir, fake_.cache() / "kernels" / artifact.key);
  EXPECT_TRUE(holds(artifact.vmlinux, "<rmap one>"));
  EXPECT_GT(fs::file_size(artifact.bzimage), 0U);
  EXPECT_TRUE(holds(artifact.widener, "mmquake_widener"));
  EXPECT_TRUE(holds(artifact.dir / "config", "CONFIG_SMP=y"));
  const auto json = nlohmann::json::parse(text_of(artifact.dir / "artifact.json"), nullptr, false);
  ASSERT_TRUE(json.is_object());
  EXPECT_EQ(json["key"], artifact.key);
  EXPECT_EQ(json["fragments"].size(), 1U);
  EXPECT_THAT(json["compiler"].get<std::string>(), HasSubstr("gcc"));
  EXPECT_THAT(artifact_folders(), ElementsAre(artifact.key));
}

TEST_F(KernelStoreTest, WhatIsBuiltIsNotBuiltAgain) {
  EXPECT_FALSE(KernelStore(fake_.cache()).find(fake_.spec()));
  const KernelArtifact first = built(fake_.spec());
  fs::remove(fake_.build_tree() / "build.log");
  EXPECT_EQ(built(fake_.spec()).key, first.key);
  EXPECT_FALSE(fs::exists(fake_.build_tree() / "build.log"));
  const auto found = KernelStore(fake_.cache()).find(fake_.spec());
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(found->vmlinux, first.vmlinux);
}

TEST_F(KernelStoreTest, AnUnbuiltKernelSaysHowToBuildIt) {
  const auto found = KernelStore(fake_.cache()).find(fake_.spec());
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().kind, ErrorKind::kBroken);
  EXPECT_THAT(found.error().message, HasSubstr("mmquake kernel build fake"));
}

TEST_F(KernelStoreTest, ADamagedArtifactIsBuiltAnew) {
  const KernelArtifact first = built(fake_.spec());
  fs::remove(first.vmlinux);
  EXPECT_TRUE(holds(built(fake_.spec()).vmlinux, "<rmap one>"));
}

TEST_F(KernelStoreTest, AChangeInTheDirectoryCompilesThatAlone) {
  const std::string first = built(fake_.spec()).key;
  fake_.write_object("mm/rmap", "rmap two");
  fs::remove(fake_.source() / "fs/exec.c");
  const KernelArtifact second = built(fake_.spec());
  EXPECT_NE(second.key, first);
  EXPECT_TRUE(holds(second.vmlinux, "<rmap two>"));
  EXPECT_FALSE(holds(second.vmlinux, "<exec one>"));
  EXPECT_THAT(fake_.compiled(), ElementsAre("mm/rmap.o"));
}

TEST_F(KernelStoreTest, AFileMayTurnIntoAFolderAndBack) {
  fake_.write("source/lib", "a file");
  built(fake_.spec());
  fs::remove(fake_.source() / "lib");
  fake_.write_object("lib/sort", "sort one");
  EXPECT_TRUE(holds(built(fake_.spec()).vmlinux, "<sort one>"));
  fs::remove_all(fake_.source() / "lib");
  fake_.write("source/lib", "a file");
  EXPECT_FALSE(holds(built(fake_.spec()).vmlinux, "<sort one>"));
}

TEST_F(KernelStoreTest, KernelsOfOneTreeDifferInTheirPatchesOnly) {
  KernelSpec patched = fake_.spec();
  patched.name = "patched";
  patched.patches = {fake_.write_patch("1", "mm/rmap", "rmap one", "rmap patched"),
                     fake_.write("patches/2.patch",
                                 "--- /dev/null\n+++ b/mm/new.c\n@@ -0,0 +1 @@\n"
                                 "+const char mm_new[] = \"<new>\";\n")};
  built(fake_.spec());
  const KernelArtifact bug = built(patched);
  EXPECT_THAT(fake_.compiled(), UnorderedElementsAre("mm/rmap.o", "mm/new.o"));
  EXPECT_TRUE(holds(bug.vmlinux, "<rmap patched>"));
  EXPECT_TRUE(holds(bug.vmlinux, "<new>"));
  EXPECT_TRUE(holds(bug.vmlinux, "<swap one>"));
  // Another clean kernel in the same tree: the patches are off again.
  KernelSpec clean = fake_.spec();
  clean.fragments.push_back(fake_.write("more.config", "CONFIG_NUMA=y\n"));
  const KernelArtifact next = built(clean);
  EXPECT_THAT(fake_.compiled(), ElementsAre("mm/rmap.o"));
  EXPECT_TRUE(holds(next.vmlinux, "<rmap one>"));
  EXPECT_FALSE(holds(next.vmlinux, "<new>"));
  EXPECT_EQ(text_of(fake_.build_tree() / "source/mm/rmap.c"),
            text_of(fake_.source() / "mm/rmap.c"));
}

TEST_F(KernelStoreTest, AFileThatStaysAsItIsIsNotCompiledAgain) {
  KernelSpec patched = fake_.spec();
  patched.patches = {fake_.write_patch("1", "mm/rmap", "rmap one", "rmap patched")};
  built(patched);
  // Another kernel with the same patch: the patched file is not written anew.
  patched.fragments.push_back(fake_.write("more.config", "CONFIG_NUMA=y\n"));
  built(patched);
  EXPECT_THAT(fake_.compiled(), IsEmpty());
}

TEST_F(KernelStoreTest, APatchedFileFollowsItsDirectory) {
  KernelSpec patched = fake_.spec();
  patched.patches = {fake_.write_patch("1", "mm/rmap", "rmap one", "rmap patched")};
  built(patched);
  // The lines around the patch's change.
  fake_.write("source/mm/rmap.c",
              text_of(fake_.source() / "mm/rmap.c") + "const char mm_rmap_more[] = \"<more>\";\n");
  const KernelArtifact next = built(patched);
  EXPECT_TRUE(holds(next.vmlinux, "<rmap patched>"));
  EXPECT_TRUE(holds(next.vmlinux, "<more>"));
}

TEST_F(KernelStoreTest, APatchThatDoesNotApplyNamesItAndChangesNothing) {
  built(fake_.spec());
  KernelSpec patched = fake_.spec();
  patched.patches = {fake_.write_patch("good", "mm/swap", "swap one", "swap patched"),
                     fake_.write_patch("bad", "mm/rmap", "rmap of long ago", "rmap patched")};
  const std::string error = error_of(patched);
  EXPECT_THAT(error, HasSubstr("kernel 'fake'"));
  EXPECT_THAT(error, HasSubstr("bad.patch: hunk 1 (line 1) of mm/rmap.c does not apply"));
  for (const char* file : {"mm/swap.c", "mm/rmap.c"}) {
    EXPECT_EQ(text_of(fake_.build_tree() / "source" / file), text_of(fake_.source() / file));
  }
}

TEST_F(KernelStoreTest, ALostOptionIsAnErrorAndTheOldConfigurationStays) {
  built(fake_.spec());
  KernelSpec lost = fake_.spec();
  lost.fragments = {fake_.write("off.config", "CONFIG_MODULES=y\nCONFIG_SMP=n\nCONFIG_NUMA=y\n")};
  EXPECT_THAT(error_of(lost), HasSubstr("an option of off.config: CONFIG_NUMA=y (is not set)"));
  fake_.write_object("mm/rmap", "rmap two");
  built(fake_.spec());
  EXPECT_THAT(fake_.compiled(), ElementsAre("mm/rmap.o"));
}

TEST_F(KernelStoreTest, WithoutModulesThereIsNoWidener) {
  KernelSpec spec = fake_.spec();
  spec.fragments = {fake_.write("off.config", "CONFIG_SMP=y\n")};
  EXPECT_THAT(error_of(spec), HasSubstr("CONFIG_MODULES=y"));
}

TEST_F(KernelStoreTest, ACompilerErrorIsQuotedAndTheLogKept) {
  fake_.write("source/mm/rmap.c", "int f(void) { return nowhere; }\n");
  const std::string error = error_of(fake_.spec());
  EXPECT_THAT(error, HasSubstr("mm/rmap.c:1:22: error: 'nowhere' undeclared"));
  EXPECT_THAT(error, HasSubstr((fake_.build_tree() / "build.log").string()));
  EXPECT_THAT(fake_.build_log(), HasSubstr("nowhere"));
  EXPECT_THAT(artifact_folders(), IsEmpty());
  fake_.write_object("mm/rmap", "rmap mended");
  EXPECT_TRUE(holds(built(fake_.spec()).vmlinux, "<rmap mended>"));
}

TEST_F(KernelStoreTest, AnAttemptTellsTheSourcesFaultFromOthers) {
  KernelStore store(fake_.cache());
  const auto first = store.attempt(fake_.spec(), {}, {});
  ASSERT_TRUE(first && first->artifact);
  EXPECT_FALSE(first->from_cache);
  const auto again = store.attempt(fake_.spec(), {}, {});
  ASSERT_TRUE(again && again->artifact);
  EXPECT_TRUE(again->from_cache);

  KernelSpec patched = fake_.spec();
  patched.patches = {fake_.write_patch("bad", "mm/rmap", "rmap of long ago", "rmap patched")};
  const auto unpatched = store.attempt(patched, {}, {});
  ASSERT_TRUE(unpatched) << unpatched.error().message;
  EXPECT_FALSE(unpatched->artifact);
  EXPECT_THAT(unpatched->reason, HasSubstr("hunk 1 (line 1) of mm/rmap.c does not apply"));
  EXPECT_TRUE(unpatched->log.empty());

  KernelSpec lost = fake_.spec();
  lost.fragments = {fake_.write("off.config", "CONFIG_MODULES=y\nCONFIG_SMP=n\nCONFIG_NUMA=y\n")};
  EXPECT_THAT(store.attempt(lost, {}, {})->reason, HasSubstr("CONFIG_NUMA=y (is not set)"));

  KernelSpec missing = fake_.spec();
  missing.patches = {fake_.folder().root() / "none.patch"};
  EXPECT_FALSE(store.attempt(missing, {}, {}));

  fake_.write("source/mm/rmap.c", "int f(void) { return nowhere; }\n");
  const auto uncompiled = store.attempt(fake_.spec(), {}, {});
  ASSERT_TRUE(uncompiled) << uncompiled.error().message;
  EXPECT_EQ(uncompiled->reason,
            "compile: mm/rmap.c:1:22: error: 'nowhere' undeclared (first use in this function)");
  EXPECT_TRUE(holds(uncompiled->log, "nowhere"));
}

TEST_F(KernelStoreTest, AMissingFragmentOrPatchIsNamed) {
  KernelSpec spec = fake_.spec();
  spec.fragments = {fake_.folder().root() / "none.config"};
  EXPECT_THAT(error_of(spec), HasSubstr("none.config"));
  spec = fake_.spec();
  spec.patches = {fake_.folder().root() / "none.patch"};
  EXPECT_THAT(error_of(spec), HasSubstr("none.patch"));
}

TEST_F(KernelStoreTest, MissingToolsAreAllNamedWithTheMend) {
  // A PATH with the compiler and git, for the identities, and little else.
  const fs::path bin = fake_.folder().root() / "bin";
  fs::create_directories(bin);
  for (const char* tool : {"sh", "env", "gcc", "as", "ld", "git", "make"}) {
    for (const char* folder : {"/usr/bin", "/bin"}) {
      std::error_code error;
      if (fs::exists(fs::path(folder) / tool, error)) {
        fs::create_symlink(fs::path(folder) / tool, bin / tool, error);
      }
    }
  }
  const ScopedVariable path("PATH", bin.string());
  EXPECT_THAT(error_of(fake_.spec()),
              HasSubstr("needs flex, bison, bc, which this host does not have; run: make deps"));
}

TEST_F(KernelStoreTest, AnOuterMakesEnvironmentIsNotObeyed) {
  const ScopedVariable flags("MAKEFLAGS", "-n");
  const ScopedVariable output("KBUILD_OUTPUT", "/nonexistent");
  EXPECT_TRUE(holds(built(fake_.spec()).vmlinux, "<rmap one>"));
}

TEST_F(KernelStoreTest, APathThatKbuildCannotTakeIsAnErrorThatSaysSo) {
  const auto artifact =
      KernelStore(fake_.folder().root() / "my cache").obtain(fake_.spec(), {}, {});
  ASSERT_FALSE(artifact);
  EXPECT_THAT(artifact.error().message, HasSubstr("XDG_CACHE_HOME"));
}

TEST_F(KernelStoreTest, RevisionsOfARepositoryCompileWhatDiffers) {
  git(fake_.source(), {"init", "-q"});
  git(fake_.source(), {"add", "."});
  git(fake_.source(), {"commit", "-q", "-m", "one"});
  git(fake_.source(), {"tag", "v1"});
  fake_.write_object("mm/rmap", "rmap two");
  git(fake_.source(), {"commit", "-q", "-a", "-m", "two"});
  KernelSpec spec = fake_.spec();
  spec.source = "git:" + fake_.source().string() + "@v1";
  EXPECT_TRUE(holds(built(spec).vmlinux, "<rmap one>"));
  spec.source = "git:" + fake_.source().string() + "@HEAD";
  EXPECT_TRUE(holds(built(spec).vmlinux, "<rmap two>"));
  EXPECT_THAT(fake_.compiled(), ElementsAre("mm/rmap.o"));
}

TEST_F(KernelStoreTest, ProgressNamesStagesAndObjects) {
  std::vector<std::string> stages;
  ASSERT_TRUE(KernelStore(fake_.cache())
                  .obtain(fake_.spec(),
                          [&](const Progress& progress) {
                            EXPECT_LT(progress.fraction, 1);
                            stages.push_back(progress.stage);
                          },
                          {}));
  for (const char* stage : {"configure", "compile", "build the widener module"}) {
    EXPECT_THAT(stages, Contains(stage));
  }
  EXPECT_EQ(to_text({"compile", "mm/rmap.o, 2 objects", 0.5}),
            "compile 50 %, mm/rmap.o, 2 objects");
  EXPECT_EQ(to_text({"configure", "", -1}), "configure");
}

TEST_F(KernelStoreTest, ListShowsWhatIsBuilt) {
  const auto none = KernelStore(fake_.cache()).list();
  ASSERT_TRUE(none) << none.error().message;
  EXPECT_THAT(*none, IsEmpty());
  const KernelArtifact artifact = built(fake_.spec());
  fake_.write("cache/kernels/half/vmlinux", "");
  const auto some = KernelStore(fake_.cache()).list();
  ASSERT_TRUE(some) << some.error().message;
  ASSERT_EQ(some->size(), 1U);
  EXPECT_EQ(some->front().artifact.key, artifact.key);
  EXPECT_GT(some->front().bytes, fs::file_size(artifact.vmlinux));
}

}  // namespace
}  // namespace mmquake::kernel
