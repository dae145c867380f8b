// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/kernel/patching.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "host/kernel/fake_kernel.h"

namespace mmquake::kernel {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(FilesOf, KnowsHeadersFromRemovedLines) {
  const auto files =
      files_of({"x.patch",
                "--- a/mm/rmap.c\t2026-01-01\n+++ b/mm/rmap.c\n@@ -1,3 +1,2 @@\n one\n"
                "--- a/not/a/file.c\n two\n"
                "--- /dev/null\n+++ b/mm/new.c\n@@ -0,0 +1 @@\n+x\n"
                "diff --git a/old.c b/young.c\nrename from old.c\nrename to young.c\n"});
  ASSERT_TRUE(files) << files.error().message;
  EXPECT_THAT(*files, ElementsAre("mm/new.c", "mm/rmap.c", "old.c", "young.c"));
}

TEST(FilesOf, NothingReachesOutOfTheTree) {
  for (const char* name : {"a/../../etc/passwd", "/etc/passwd", "a//etc/passwd", "passwd"}) {
    const auto files = files_of({"x.patch", std::string("--- ") + name + "\n+++ " + name + "\n"});
    ASSERT_FALSE(files) << name;
    EXPECT_THAT(files.error().message, HasSubstr("x.patch"));
  }
}

TEST(FilesOf, TextThatIsNoPatchIsAnError) {
  const auto files = files_of({"x.patch", "Subject: later\n\nI forgot the diff.\n"});
  ASSERT_FALSE(files);
  EXPECT_EQ(files.error().kind, ErrorKind::kUsage);
}

TEST(ExplainFailure, NamesFileHunkAndLine) {
  EXPECT_EQ(explain_failure("patching file mm/rmap.c\nHunk #1 succeeded at 12 (offset 2 lines).\n"
                            "patching file mm/swap.c (renamed from mm/s.c)\n"
                            "Hunk #2 FAILED at 105 (different line endings).\n"
                            "1 out of 2 hunks FAILED\n"),
            "hunk 2 (line 105) of mm/swap.c does not apply");
}

TEST(ExplainFailure, ALongListIsCut) {
  std::string output = "patching file mm/rmap.c\n";
  for (int i = 1; i <= 20; ++i) output += "Hunk #" + std::to_string(i) + " FAILED at 1.\n";
  const std::string text = explain_failure(output);
  EXPECT_THAT(text, HasSubstr("hunk 8 "));
  EXPECT_THAT(text, HasSubstr("and 12 more"));
}

TEST(ExplainFailure, WhateverElsePatchSaysIsPassedOn) {
  EXPECT_THAT(explain_failure("patch: **** malformed patch at line 7: @@\n"),
              HasSubstr("malformed patch at line 7"));
  EXPECT_EQ(explain_failure("one\nsomething new\n\n"), "something new");
}

class Apply : public testing::Test {
 protected:
  Result<> apply_text(const std::string& text) {
    const fs::path file = tree_.write("x.patch", text);
    return apply({file, text}, tree_.root() / "tree", reporter_);
  }
  TestTree tree_;
  SilentReporter reporter_;
};

TEST_F(Apply, AMovedContextIsFoundAndAnAlmostRightOneIsNot) {
  tree_.write("tree/f", "new first line\na\nb\nc\nd\n");
  const std::string good = "--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n";
  ASSERT_TRUE(apply_text(good));
  EXPECT_EQ(text_of(tree_.root() / "tree/f"), "new first line\na\nB\nc\nd\n");
  const auto again = apply_text(good);
  ASSERT_FALSE(again);
  EXPECT_THAT(again.error().message, HasSubstr("x.patch: hunk 1 (line 1) of f does not apply"));
  const auto fuzzy = apply_text("--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n other\n-B\n+b\n c\n");
  EXPECT_FALSE(fuzzy);
}

TEST_F(Apply, AFileThatIsNotThereIsNamed) {
  tree_.write("tree/f", "a\n");
  const auto applied =
      apply_text("--- a/mm/gone.c\n+++ b/mm/gone.c\n@@ -1,2 +1,2 @@\n a\n-b\n+B\n");
  ASSERT_FALSE(applied);
  EXPECT_THAT(applied.error().message, HasSubstr("the source has no mm/gone.c"));
}

}  // namespace
}  // namespace mmquake::kernel
