// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/cli/kernel_recipe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/kernel/files.h"
#include "host/plan/test_tree.h"

namespace mmquake {
namespace {

using ::testing::ElementsAre;

class KernelRecipeTest : public testing::Test {
 protected:
  KernelRecipeTest() {
    spec_.name = "like";
    spec_.summary = "s";
    spec_.source = "debian:linux-source-6.1";
    spec_.fragments = {tree_.write("a/base.config", "CONFIG_SMP=y\n"),
                       tree_.write("b/base.config", "CONFIG_NUMA=y\n")};
    spec_.patches = {tree_.write("one.patch", "one"), tree_.write("two.patch", "two")};
    spec_.boot_args = {"quiet"};
  }
  static std::string text_of(const std::filesystem::path& file) {
    return kernel::read_text(file).value_or("cannot be read");
  }

  TestTree tree_;
  KernelSpec spec_;
  std::filesystem::path folder_ = tree_.root() / "kept";
};

TEST_F(KernelRecipeTest, KeepsWhatItsFilesHeld) {
  ASSERT_TRUE(KernelRecipe::keep(spec_, folder_));
  for (const auto& file : spec_.fragments) tree_.write(file.lexically_relative(tree_.root()), "");
  std::filesystem::remove(spec_.patches[0]);
  const auto recipe = KernelRecipe::open(folder_);
  ASSERT_TRUE(recipe) << recipe.error().message;
  const auto kernel = recipe->kernel("0123", "git:/src/linux@0123");
  ASSERT_TRUE(kernel) << kernel.error().message;
  EXPECT_EQ(kernel->name, "0123");
  EXPECT_EQ(kernel->source, "git:/src/linux@0123");
  EXPECT_THAT(kernel->boot_args, ElementsAre("quiet"));
  ASSERT_EQ(kernel->fragments.size(), 2U);
  EXPECT_EQ(text_of(kernel->fragments[0]), "CONFIG_SMP=y\n");
  EXPECT_EQ(text_of(kernel->fragments[1]), "CONFIG_NUMA=y\n");
  ASSERT_EQ(kernel->patches.size(), 2U);
  EXPECT_EQ(text_of(kernel->patches[0]), "one");
}

TEST_F(KernelRecipeTest, AKernelCanBeReadAgainAndItsFolderMayMove) {
  const auto recipe = KernelRecipe::keep(spec_, folder_);
  ASSERT_TRUE(recipe) << recipe.error().message;
  ASSERT_TRUE(recipe->kernel("unpatched", "dir:/src/linux", 1));
  const auto moved = tree_.root() / "moved";
  std::filesystem::rename(folder_, moved);
  const auto kernel = Catalogue(tree_.root()).kernel((moved / "unpatched.toml").string());
  ASSERT_TRUE(kernel) << kernel.error().message;
  EXPECT_EQ(kernel->source, "dir:/src/linux");
  EXPECT_EQ(kernel->patches.size(), 1U);
  EXPECT_EQ(text_of(kernel->fragments.at(1)), "CONFIG_NUMA=y\n");
}

TEST_F(KernelRecipeTest, WhatIsNotBuiltHasNone) {
  spec_.source = "debian-image:linux-image-cloud-amd64";
  const auto recipe = KernelRecipe::keep(spec_, folder_);
  ASSERT_FALSE(recipe);
  EXPECT_EQ(recipe.error().kind, ErrorKind::kUsage);
}

}  // namespace
}  // namespace mmquake
