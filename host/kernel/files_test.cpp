// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/kernel/files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "host/kernel/fake_kernel.h"

namespace mmquake::kernel {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

TEST(NeedSpace, SaysHowMuchWhereAndWhatToDo) {
  const TestTree tree;
  const fs::path folder = tree.root() / "not/there/yet";
  const std::uint64_t have = free_mib(folder);
  ASSERT_GT(have, 0U);
  EXPECT_TRUE(need_space(folder, 1, "a build"));
  const std::uint64_t most = 1UL << 40;  // MiB
  const auto room = need_space(folder, most, "a build");
  ASSERT_FALSE(room);
  EXPECT_THAT(room.error().message, HasSubstr("a build needs " + std::to_string(most) + " MiB"));
  for (const std::string& part :
       {folder.string(), std::string(" MiB free"), std::string("mmquake kernel gc"),
        std::string("XDG_CACHE_HOME")}) {
    EXPECT_THAT(room.error().message, HasSubstr(part));
  }
}

TEST(SameFile, ComparesContentKindAndTheRightToExecute) {
  const TestTree tree;
  const fs::path a = tree.write("a", "text");
  const fs::path b = tree.write("b", "text");
  EXPECT_TRUE(same_file(a, b));
  EXPECT_FALSE(same_file(a, tree.write("c", "TEXT")));
  EXPECT_FALSE(same_file(a, tree.root()));
  EXPECT_FALSE(same_file(a, tree.root() / "none"));
  EXPECT_TRUE(same_file(tree.root() / "none", tree.root() / "nothing"));
  fs::permissions(b, fs::perms::owner_exec, fs::perm_options::add);
  EXPECT_FALSE(same_file(a, b));
  fs::create_symlink("a", tree.root() / "link");
  fs::create_symlink("a", tree.root() / "same");
  fs::create_symlink("b", tree.root() / "other");
  EXPECT_FALSE(same_file(a, tree.root() / "link"));
  EXPECT_TRUE(same_file(tree.root() / "same", tree.root() / "link"));
  EXPECT_FALSE(same_file(tree.root() / "other", tree.root() / "link"));
}

TEST(CopyTo, KeepsLinksAndTheRightToExecuteAndReplacesNothing) {
  const TestTree tree;
  const fs::path tool = tree.write("tool", "#!/bin/sh\n");
  fs::permissions(tool, fs::perms::owner_all);
  fs::create_symlink("tool", tree.root() / "link");
  ASSERT_TRUE(copy_to(tool, tree.root() / "new/tool"));
  ASSERT_TRUE(copy_to(tree.root() / "link", tree.root() / "new/link"));
  EXPECT_TRUE(same_file(tool, tree.root() / "new/tool"));
  EXPECT_TRUE(same_file(tree.root() / "link", tree.root() / "new/link"));
  EXPECT_FALSE(copy_to(tool, tree.root() / "new/tool"));
}

TEST(WriteText, ReplacesAndLeavesNothingBeside) {
  const TestTree tree;
  const fs::path file = tree.root() / "folder/file";
  ASSERT_TRUE(write_text(file, "one"));
  ASSERT_TRUE(write_text(file, "two"));
  EXPECT_EQ(text_of(file), "two");
  EXPECT_EQ(std::distance(fs::directory_iterator(file.parent_path()), fs::directory_iterator()), 1);
}

TEST(HashFile, IsThatOfTheBytes) {
  const TestTree tree;
  const auto hash = hash_file(tree.write("file", "text"));
  ASSERT_TRUE(hash) << hash.error().message;
  EXPECT_EQ(*hash, hash_of("text"));
  EXPECT_NE(*hash, hash_of("texT"));
  EXPECT_FALSE(hash_file(tree.root() / "none"));
}

}  // namespace
}  // namespace mmquake::kernel
