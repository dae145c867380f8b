// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/cli/case_sides.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/plan/test_tree.h"

namespace mmquake {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class SeriesTest : public testing::Test {
 protected:
  SeriesTest() : catalogue_(tree_.root() / "configs") {
    const std::string kernel =
        "summary = \"s\"\nsource = \"debian:linux-source\"\nfragments = [\"base.config\"]\n";
    tree_.write("configs/fragments/base.config", "");
    tree_.write("images/patches/some.patch", "");
    for (const char* name : {"clean", "clean-6.12", "assert"}) {
      tree_.write(std::string("configs/kernels/") + name + ".toml", kernel);
    }
    tree_.write("configs/kernels/specimen-6.12.toml",
                kernel + "patches = [\"some.patch\"]\nbugs = [\"some-bug\"]\n");
    spec_.bug_kernel = "specimen";
    spec_.clean_kernel = "clean";
    spec_.bugs = {"some-bug"};
  }

  TestTree tree_;
  Catalogue catalogue_;
  CaseSpec spec_;
};

TEST_F(SeriesTest, EachKernelIsReplacedByThatOfTheSeries) {
  EXPECT_THAT(series_names(catalogue_), ElementsAre("6.12"));
  const auto moved = in_series(catalogue_, spec_, "6.12");
  ASSERT_TRUE(moved) << moved.error().message;
  EXPECT_EQ(moved->bug_kernel, "specimen-6.12");
  EXPECT_EQ(moved->clean_kernel, "clean-6.12");
  EXPECT_THAT(moved->bugs, ElementsAre("some-bug"));
}

TEST_F(SeriesTest, WhatTheSeriesLacksIsSkippedAndNamed) {
  spec_.bugs = {"some-bug", "older-bug"};
  auto moved = in_series(catalogue_, spec_, "6.12");
  ASSERT_FALSE(moved);
  EXPECT_EQ(moved.error().kind, ErrorKind::kSkipped);
  EXPECT_THAT(moved.error().message, HasSubstr("specimen-6.12 has no switch older-bug"));
  spec_.clean_kernel = "assert";
  moved = in_series(catalogue_, spec_, "6.12");
  ASSERT_FALSE(moved);
  EXPECT_EQ(moved.error().kind, ErrorKind::kSkipped);
  EXPECT_THAT(moved.error().message, HasSubstr("no kernel assert-6.12"));
}

TEST_F(SeriesTest, AFileThatCannotBeReadIsNoReasonToSkip) {
  tree_.write("configs/kernels/specimen-6.12.toml", "summary = 1\n");
  const auto moved = in_series(catalogue_, spec_, "6.12");
  ASSERT_FALSE(moved);
  EXPECT_EQ(moved.error().kind, ErrorKind::kUsage);
}

}  // namespace
}  // namespace mmquake
