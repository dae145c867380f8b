// SPDX-License-Identifier: GPL-2.0-or-later
#include <gmock/gmock.h>

#include "host/plan/plan.h"
#include "host/plan/specs.h"
#include "host/plan/test_tree.h"

namespace mmquake {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

constexpr const char* kGood =
    "summary = \"s\"\n"
    "source = \"debian:linux-source-6.1\"\n"
    "fragments = [\"base.config\"]\n";

class KernelSpecTest : public testing::Test {
 protected:
  KernelSpecTest() {
    tree_.write("configs/fragments/base.config", "CONFIG_NUMA=y\n");
    tree_.write("images/patches/6.1/one.patch", "");
  }
  Result<KernelSpec> read(const std::string& text) {
    tree_.write("configs/kernels/k.toml", text);
    return catalogue_.kernel("k");
  }
  std::string complaint(const std::string& text) {
    const auto spec = read(text);
    EXPECT_FALSE(spec) << text;
    if (spec) return "";
    EXPECT_EQ(spec.error().kind, ErrorKind::kUsage);
    return spec.error().message;
  }

  TestTree tree_;
  std::filesystem::path path_ = tree_.root() / "configs/kernels/k.toml";
  Catalogue catalogue_{tree_.root() / "configs"};
};

TEST_F(KernelSpecTest, ReadsAPatchedKernel) {
  const auto spec = read(std::string(kGood) +
                         "patches = [\"6.1/one.patch\"]\n"
                         "bugs = [\"some-bug\"]\n"
                         "boot_args = [\"hugepagesz=2M\", \"hugepages=8\", \"hugepages=8\"]\n");
  ASSERT_TRUE(spec) << spec.error().message;
  EXPECT_EQ(spec->name, "k");
  EXPECT_EQ(spec->summary, "s");
  EXPECT_EQ(spec->source, "debian:linux-source-6.1");
  EXPECT_THAT(spec->fragments, ElementsAre(tree_.root() / "configs/fragments/base.config"));
  EXPECT_THAT(spec->patches, ElementsAre(tree_.root() / "images/patches/6.1/one.patch"));
  EXPECT_THAT(spec->bugs, ElementsAre("some-bug"));
  EXPECT_THAT(spec->boot_args, ElementsAre("hugepagesz=2M", "hugepages=8", "hugepages=8"));
}

TEST_F(KernelSpecTest, ASpecWrittenIsTheSpecRead) {
  KernelSpec spec;
  spec.summary = "with \"quotes\" and \\";
  spec.source = "git:/a path@v6.1";
  spec.fragments = {tree_.root() / "configs/fragments/base.config",
                    tree_.write("configs/kernels/more/0.config", "")};
  spec.patches = {tree_.root() / "images/patches/6.1/one.patch"};
  spec.boot_args = {"hugepages=8", "hugepages=8"};
  spec.bugs = {"some-bug"};
  const std::string text = kernel_spec_text(spec, path_.parent_path());
  EXPECT_THAT(text, HasSubstr("./more/0.config"));
  const auto back = read(text);
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(back->summary, spec.summary);
  EXPECT_EQ(back->source, spec.source);
  EXPECT_EQ(back->fragments, spec.fragments);
  EXPECT_EQ(back->patches, spec.patches);
  EXPECT_EQ(back->boot_args, spec.boot_args);
  EXPECT_EQ(back->bugs, spec.bugs);
}

TEST_F(KernelSpecTest, FilesMayStandBesideTheKernelsOwn) {
  tree_.write("configs/kernels/own.config", "");
  const auto spec = read(
      "summary = \"s\"\nsource = \"dir:/src/linux\"\nfragments = [\"base.config\", "
      "\"./own.config\"]\n");
  ASSERT_TRUE(spec) << spec.error().message;
  EXPECT_EQ(spec->fragments[1], tree_.root() / "configs/kernels/own.config");
  EXPECT_THAT(spec->bugs, IsEmpty());
}

TEST_F(KernelSpecTest, ARootWithASlashAtItsEndIsTheSame) {
  read(std::string(kGood) + "patches = [\"6.1/one.patch\"]\n").value();
  const auto spec = Catalogue(tree_.root() / "configs/").kernel("k");
  ASSERT_TRUE(spec) << spec.error().message;
  EXPECT_THAT(spec->patches, ElementsAre(tree_.root() / "images/patches/6.1/one.patch"));
}

TEST_F(KernelSpecTest, AFileThatDoesNotExistIsNamed) {
  EXPECT_EQ(complaint("summary = \"s\"\nsource = \"debian:linux\"\n"
                      "fragments = [\"base.config\", \"bsae.config\"]\n"),
            path_.string() + ":3:29: 'fragments' names a file that does not exist: " +
                (tree_.root() / "configs/fragments/bsae.config").string());
  EXPECT_THAT(complaint(std::string(kGood) + "patches = [\"6.1\"]\n"),
              HasSubstr("'patches' names a file that does not exist"));
}

TEST_F(KernelSpecTest, EveryMistakeIsReportedAtOnce) {
  const std::string text =
      complaint("sumary = \"s\"\nsource = \"svn:x\"\nbugs = [\"Bug\"]\nboot_args = [\"a b\"]\n");
  EXPECT_THAT(text, HasSubstr(":1:1: unknown key 'sumary'; did you mean 'summary'?"));
  EXPECT_THAT(text, HasSubstr("'summary' is missing"));
  EXPECT_THAT(text, HasSubstr(":2:10: 'source' is 'svn:x'; it must be 'debian:PACKAGE'"));
  EXPECT_THAT(text, HasSubstr("'fragments' is missing"));
  EXPECT_THAT(text, HasSubstr(":3:9: 'bugs' holds 'Bug'; a switch has a-z, 0-9 and '-' only"));
  EXPECT_THAT(text, HasSubstr(":4:14: 'boot_args' holds 'a b'"));
}

TEST_F(KernelSpecTest, AKernelNeedsAFragment) {
  EXPECT_THAT(complaint("summary = \"s\"\nsource = \"debian:linux\"\nfragments = []\n"),
              HasSubstr("at least one"));
}

TEST_F(KernelSpecTest, SwitchesNeedAPatchThatBringsThem) {
  EXPECT_THAT(complaint(std::string(kGood) + "bugs = [\"some-bug\"]\n"), HasSubstr("'patches'"));
}

TEST_F(KernelSpecTest, ASourceHasOneOfThreeForms) {
  const std::pair<const char*, const char*> cases[] = {
      {"debian:", "no Debian package"},
      {"debian:Linux Source", "no Debian package"},
      {"debian:../x", "no Debian package"},
      {"dir:relative", "absolute"},
      {"dir:", "absolute"},
      {"git:relative@v6.1", "absolute"},
      {"git:/src/linux", "revision"},
      {"git:/src/linux@", "revision"},
      {"git:/src/linux@--output=x", "revision"},
      {"", "not empty"},
  };
  for (const auto& [source, says] : cases) {
    EXPECT_THAT(
        complaint(std::string("summary = \"s\"\nfragments = [\"base.config\"]\nsource = \"") +
                  source + "\"\n"),
        AllOf(StartsWith(path_.string() + ":3:10: 'source'"), HasSubstr(says)))
        << source;
  }
}

class KernelFromSourceTest : public KernelSpecTest {
 protected:
  std::string refusal(const std::string& name) {
    const auto spec = catalogue_.kernel(name);
    EXPECT_FALSE(spec) << name;
    return spec ? "" : spec.error().message;
  }
};

TEST_F(KernelFromSourceTest, TakesADirectoryWithTheBaseFragment) {
  std::filesystem::create_directories(tree_.root() / "src/my linux");
  const auto spec = catalogue_.kernel("dir:" + (tree_.root() / "src/my linux/").string());
  ASSERT_TRUE(spec) << spec.error().message;
  EXPECT_EQ(spec->name, "dir");
  EXPECT_THAT(spec->source, StartsWith("dir:" + (tree_.root() / "src/my linux").string()));
  EXPECT_THAT(spec->fragments, ElementsAre(tree_.root() / "configs/fragments/base.config"));
  EXPECT_THAT(spec->patches, IsEmpty());
  EXPECT_THAT(spec->bugs, IsEmpty());
}

TEST_F(KernelFromSourceTest, TakesARevision) {
  std::filesystem::create_directories(tree_.root() / "src/li@nux");
  const std::string source = "git:" + (tree_.root() / "src/li@nux").string() + "@v6.6-rc1";
  const auto spec = catalogue_.kernel(source);
  ASSERT_TRUE(spec) << spec.error().message;
  EXPECT_EQ(spec->source, source);
  EXPECT_EQ(spec->name, "git");
}

TEST_F(KernelFromSourceTest, ARelativePathIsFromTheCurrentDirectory) {
  const auto spec = catalogue_.kernel("dir:.");
  ASSERT_TRUE(spec) << spec.error().message;
  EXPECT_EQ(std::filesystem::path(spec->source.substr(4)).lexically_normal() / "",
            std::filesystem::current_path() / "");
}

TEST_F(KernelFromSourceTest, SaysWhatIsWrong) {
  EXPECT_THAT(refusal("dir:"), HasSubstr("has no path"));
  EXPECT_THAT(refusal("git:@v1"), HasSubstr("has no path"));
  EXPECT_THAT(refusal("dir:/nowhere"), HasSubstr("no directory /nowhere"));
  EXPECT_THAT(refusal("git:/nowhere"), HasSubstr("needs a revision"));
  EXPECT_THAT(refusal("git:" + tree_.root().string() + "@-x"), HasSubstr("no valid revision"));
  EXPECT_THAT(refusal("dir:/\x1b[2J"), HasSubstr("\\x1b[2J"));
  EXPECT_EQ(refusal("dir:/\x1b[2J").find('\x1b'), std::string::npos);
}

TEST_F(KernelFromSourceTest, WithoutTheBaseFragmentItSaysWhereToLook) {
  const auto spec = Catalogue(tree_.root() / "nothing").kernel("dir:" + tree_.root().string());
  ASSERT_FALSE(spec);
  EXPECT_EQ(spec.error().kind, ErrorKind::kBroken);
  EXPECT_THAT(spec.error().message, HasSubstr("MMQUAKE_DATA"));
}

}  // namespace
}  // namespace mmquake
