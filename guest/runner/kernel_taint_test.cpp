// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/runner/kernel_taint.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace mmquake {
namespace {

std::uint64_t complaints_of(const std::string& text) {
  const std::filesystem::path file =
      std::filesystem::path(testing::TempDir()) / ("tainted-" + std::to_string(getpid()));
  std::ofstream(file) << text;
  const std::uint64_t complaints = kernel_complaints(file.string());
  std::filesystem::remove(file);
  return complaints;
}

TEST(KernelTaint, AReportIsAComplaint) {
  EXPECT_EQ(complaints_of("32\n"), 32U);     // bad page
  EXPECT_EQ(complaints_of("128\n"), 128U);   // oops
  EXPECT_EQ(complaints_of("4608\n"), 512U);  // a warning, and an out-of-tree module
  EXPECT_EQ(complaints_of("16384\n"), 16384U);
}

TEST(KernelTaint, ModulesAndUnreadableFilesAreNone) {
  EXPECT_EQ(complaints_of("0\n"), 0U);
  EXPECT_EQ(complaints_of("12288\n"), 0U);  // out-of-tree, unsigned
  EXPECT_EQ(complaints_of("nonsense"), 0U);
  EXPECT_EQ(kernel_complaints("/no/such/file"), 0U);
}

}  // namespace
}  // namespace mmquake
