// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/kernel/source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <map>

#include "host/kernel/fake_kernel.h"

namespace mmquake::kernel {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Key;
using ::testing::Not;

class SourceTest : public testing::Test {
 protected:
  std::unique_ptr<Source> open(const std::string& source) {
    auto opened = open_source(source, fake_.cache(), reporter_);
    EXPECT_TRUE(opened) << opened.error().message;
    return opened ? std::move(*opened) : nullptr;
  }
  std::unique_ptr<Source> open_dir() { return open("dir:" + fake_.source().string()); }
  Error error_of(const std::string& source) {
    const auto opened = open_source(source, fake_.cache(), reporter_);
    EXPECT_FALSE(opened);
    return opened ? Error{} : opened.error();
  }

  FakeKernel fake_;
  SilentReporter reporter_;
};

TEST_F(SourceTest, ADirectorysIdentityIsThatOfItsContent) {
  const std::string first = open_dir()->identity();
  EXPECT_EQ(open_dir()->identity(), first);
  // Touched, but the same.
  fs::last_write_time(fake_.source() / "mm/rmap.c",
                      fs::file_time_type::clock::now() - std::chrono::hours(1));
  EXPECT_EQ(open_dir()->identity(), first);
  const std::string before = text_of(fake_.source() / "mm/rmap.c");
  const auto written_at = fs::last_write_time(fake_.source() / "mm/rmap.c");
  // As long as before and, as if by rsync -t, with the time of before.
  fake_.write_object("mm/rmap", "rmap two");
  fs::last_write_time(fake_.source() / "mm/rmap.c", written_at);
  const std::string second = open_dir()->identity();
  EXPECT_NE(second, first);
  fake_.write("source/mm/rmap.c", before);
  EXPECT_EQ(open_dir()->identity(), first);
  fake_.write("source/mm/new.c", "");
  EXPECT_NE(open_dir()->identity(), first);
  fs::remove(fake_.source() / "mm/new.c");
  fs::permissions(fake_.source() / "mm/rmap.c", fs::perms::owner_exec, fs::perm_options::add);
  EXPECT_NE(open_dir()->identity(), first);
}

TEST_F(SourceTest, ProductsOfABuildInPlaceDoNotCount) {
  const std::string clean = open_dir()->identity();
  for (const char* name : {".config", "include/generated/autoconf.h", "include/config/auto.conf",
                           "arch/x86/include/generated/asm.h", "mm/rmap.o", "mm/.rmap.o.cmd",
                           "vmlinux", "scripts/tool", "scripts/.tool.cmd"}) {
    fake_.write(std::string("source/") + name, "product");
  }
  EXPECT_EQ(open_dir()->identity(), clean);
}

TEST_F(SourceTest, InAWorkTreeGitSaysWhatCounts) {
  fake_.write("source/.gitignore", "*.o\n/scratch\n!.gitignore\n");
  git(fake_.source(), {"init", "-q"});
  git(fake_.source(), {"add", "."});
  git(fake_.source(), {"commit", "-q", "-m", "one"});
  const std::string committed = open_dir()->identity();
  fake_.write("source/scratch/notes", "");
  fake_.write("source/mm/rmap.o", "");
  EXPECT_EQ(open_dir()->identity(), committed);
  fake_.write("source/mm/untracked.c", "");
  const auto more = open_dir();
  EXPECT_NE(more->identity(), committed);
  EXPECT_THAT(*more->manifest(), Contains(Key("mm/untracked.c")));
  EXPECT_THAT(*more->manifest(), Not(Contains(Key(HasSubstr(".git/")))));
  fs::remove(fake_.source() / "mm/swap.c");  // tracked still
  EXPECT_THAT(*open_dir()->manifest(), Not(Contains(Key("mm/swap.c"))));
}

TEST_F(SourceTest, AnOuterGitsEnvironmentIsNotObeyed) {
  const std::string alone = open_dir()->identity();
  const ScopedVariable dir("GIT_DIR", "/nonexistent");
  EXPECT_EQ(open_dir()->identity(), alone);
}

TEST_F(SourceTest, FetchingWritesNothingIntoTheDirectory) {
  const auto list = [&] {
    std::map<std::string, fs::file_time_type> out;
    for (const auto& entry : fs::recursive_directory_iterator(fake_.source())) {
      out[entry.path().string()] = entry.last_write_time();
    }
    return out;
  };
  const auto before = list();
  const auto source = open_dir();
  std::vector<std::string> paths;
  for (const auto& [path, identity] : *source->manifest()) paths.push_back(path);
  const fs::path into = fake_.folder().root() / "into";
  ASSERT_TRUE(source->fetch(paths, into, reporter_));
  EXPECT_EQ(text_of(into / "mm/rmap.c"), text_of(fake_.source() / "mm/rmap.c"));
  EXPECT_EQ(list(), before);
}

TEST_F(SourceTest, AFileThatChangesWhileItIsReadIsAnError) {
  const auto source = open_dir();
  fake_.write_object("mm/rmap", "just now");
  const auto fetched = source->fetch({"mm/rmap.c"}, fake_.folder().root() / "into", reporter_);
  ASSERT_FALSE(fetched);
  EXPECT_THAT(fetched.error().message, HasSubstr("mm/rmap.c changed while it was read"));
}

TEST_F(SourceTest, AGitRevisionIsItsCommitWhateverTheWorkTreeHolds) {
  git(fake_.source(), {"init", "-q"});
  git(fake_.source(), {"add", "."});
  git(fake_.source(), {"commit", "-q", "-m", "one"});
  git(fake_.source(), {"tag", "-a", "v1", "-m", "v1"});
  const std::string repository = "git:" + fake_.source().string();
  const std::string first = open(repository + "@v1")->identity();
  fake_.write_object("mm/rmap", "rmap two");
  EXPECT_EQ(open(repository + "@master")->identity(), first);
  git(fake_.source(), {"commit", "-q", "-a", "-m", "two"});
  const auto second = open(repository + "@master");
  EXPECT_NE(second->identity(), first);
  const fs::path into = fake_.folder().root() / "into";
  fs::create_directories(into);
  ASSERT_TRUE(open(repository + "@v1")->fetch({"mm/rmap.c"}, into, reporter_));
  EXPECT_TRUE(holds(into / "mm/rmap.c", "rmap one"));
  EXPECT_FALSE(fs::exists(into / "mm/swap.c"));
  // Both revisions take turns in one build tree.
  EXPECT_EQ(open(repository + "@v1")->tree(), second->tree());
  EXPECT_TRUE(is_tree_of(repository + "@anything", second->tree()));
  EXPECT_FALSE(is_tree_of("dir:" + fake_.source().string(), second->tree()));
}

TEST_F(SourceTest, ABareRepositoryWillDo) {
  git(fake_.source(), {"init", "-q"});
  git(fake_.source(), {"add", "."});
  git(fake_.source(), {"commit", "-q", "-m", "one"});
  git(fake_.folder().root(), {"clone", "-q", "--bare", "source", "bare.git"});
  const auto source = open("git:" + (fake_.folder().root() / "bare.git").string() + "@HEAD");
  const fs::path into = fake_.folder().root() / "into";
  fs::create_directories(into);
  const auto fetched = source->fetch({"mm/rmap.c", "Kconfig"}, into, reporter_);
  ASSERT_TRUE(fetched) << fetched.error().message;
  EXPECT_TRUE(holds(into / "mm/rmap.c", "rmap one"));
}

TEST_F(SourceTest, WhatIsNotThereIsNamed) {
  git(fake_.source(), {"init", "-q"});
  const Error revision = error_of("git:" + fake_.source().string() + "@v9.9");
  EXPECT_EQ(revision.kind, ErrorKind::kUsage);
  EXPECT_THAT(revision.message, HasSubstr("'v9.9'"));
  EXPECT_THAT(error_of("git:/nonexistent/linux@HEAD").message, HasSubstr("/nonexistent/linux"));
  EXPECT_THAT(error_of("dir:/nonexistent/linux").message, HasSubstr("no such directory"));
  EXPECT_THAT(error_of("dir:/usr/share").message, HasSubstr("no kernel source"));
}

TEST_F(SourceTest, ASlashAtTheEndMeansNothing) {
  EXPECT_EQ(open("dir:" + fake_.source().string() + "/")->tree(), open_dir()->tree());
}

}  // namespace
}  // namespace mmquake::kernel
