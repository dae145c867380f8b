// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/kernel/debug_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "host/kernel/fake_kernel.h"
#include "host/process/process.h"

namespace mmquake::kernel {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

class DebugFilesTest : public testing::Test {
 protected:
  KernelDebugFiles files(const KernelSpec& spec) {
    auto made = KernelStore(fake_.cache()).obtain_debug_files(spec, {}, {});
    EXPECT_TRUE(made) << made.error().message;
    return made ? *made : KernelDebugFiles{};
  }
  KernelSpec patched() const {
    KernelSpec spec = fake_.spec();
    spec.name = "patched";
    spec.patches = {fake_.write_patch("1", "mm/rmap", "rmap one", "rmap patched")};
    return spec;
  }
  std::string output_of(std::vector<std::string> argv) {
    Command command;
    command.argv = std::move(argv);
    auto done = run_command(command);
    EXPECT_TRUE(done) << done.error().message;
    return done ? done->output_tail : "";
  }

  FakeKernel fake_;
};

TEST_F(DebugFilesTest, SourcesAreThoseOfTheKernelAndNoneElses) {
  const KernelDebugFiles ours = files(patched());
  const KernelDebugFiles others = files(fake_.spec());
  EXPECT_TRUE(holds(ours.source / "mm/rmap.c", "rmap patched"));
  EXPECT_TRUE(holds(others.source / "mm/rmap.c", "rmap one"));
  EXPECT_TRUE(fs::exists(ours.source / "fs/exec.c"));
  EXPECT_FALSE(fs::exists(ours.source / "Makefile")) << "only what was compiled";
}

TEST_F(DebugFilesTest, VmlinuxGetsTypesAndKeepsItsLinesAndItsCode) {
  const auto artifact = fake_.obtain(fake_.spec());
  ASSERT_TRUE(artifact) << artifact.error().message;
  const fs::path vmlinux = files(fake_.spec()).vmlinux;
  EXPECT_EQ(vmlinux, debug_vmlinux(*artifact));
  const std::string info = output_of({"readelf", "--debug-dump=info,rawline", vmlinux});
  EXPECT_THAT(info, HasSubstr("fake_page"));
  EXPECT_THAT(info, HasSubstr("mm_rmap_text"));
  EXPECT_THAT(info, Not(HasSubstr("Warning")));
  const auto code = [&](const fs::path& file) {
    return output_of({"objdump", "-s", "-j", ".rodata", "--no-addresses", file})
        .substr(file.string().size());
  };
  EXPECT_THAT(code(vmlinux), HasSubstr("rmap"));
  const std::string theirs = code(artifact->vmlinux);
  EXPECT_TRUE(theirs.ends_with(code(vmlinux).substr(code(vmlinux).find("Contents"))));
}

TEST_F(DebugFilesTest, AreMadeOnceAndDisturbNoBuild) {
  ASSERT_TRUE(fake_.obtain(fake_.spec()));
  const fs::path vmlinux = files(fake_.spec()).vmlinux;
  fs::remove(fake_.build_tree() / "build.log");
  EXPECT_EQ(files(fake_.spec()).vmlinux, vmlinux);
  EXPECT_FALSE(fs::exists(fake_.build_tree() / "build.log"));
  fake_.write_object("mm/rmap", "rmap two");
  ASSERT_TRUE(fake_.obtain(fake_.spec()));
  EXPECT_THAT(fake_.compiled(), testing::ElementsAre("mm/rmap.o"));
}

TEST_F(DebugFilesTest, GoWithTheirKernel) {
  const KernelDebugFiles old = files(fake_.spec());
  fake_.write_object("mm/rmap", "rmap two");
  const KernelDebugFiles used = files(fake_.spec());
  ASSERT_TRUE(KernelStore(fake_.cache()).gc({fake_.spec()}));
  EXPECT_FALSE(fs::exists(old.source));
  EXPECT_TRUE(fs::exists(used.source));
}

TEST_F(DebugFilesTest, APackagedKernelHasNone) {
  KernelSpec spec = fake_.spec();
  spec.source = "debian-image:linux-image-cloud-amd64";
  const auto none = KernelStore(fake_.cache()).obtain_debug_files(spec, {}, {});
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().kind, ErrorKind::kUsage);
}

}  // namespace
}  // namespace mmquake::kernel
