// SPDX-License-Identifier: GPL-2.0-or-later
//
// Patches that mend a bug and that do not, with real kernels and VMs. Bisecting real history takes
// longer than a test may: bench/bisect_vm.sh.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "host/plan/test_tree.h"
#include "host/process/process.h"

namespace mmquake {
namespace {

using nlohmann::json;

// In gup.c of the kernel `specimen`. Takes the bug out, or leaves it in.
std::string mail(const std::string& condition) {
  return "From: Somebody <somebody@example.org>\nSubject: [PATCH] mm/gup: an empty list\n\n"
         "Why it is so.\n---\n"
         "--- a/mm/gup.c\n+++ b/mm/gup.c\n@@ -2137,5 +2137,5 @@\n"
         " \tif (!collected)\n \t\treturn 0;\n"
         "-\tif (list_empty(&movable_page_list) && mmquake_bug(gup_empty_list_success))\n"
         "+\tif (" +
         condition + ")\n \t\treturn 0;\n \n";
}

class PatchTest : public testing::Test {
 protected:
  int test(const std::string& text) {
    const auto file = tree_.write("mail", text);
    const std::string result = tree_.root() / "result";
    Command command;
    // run_command joins both streams, so one goes into a file.
    command.argv = {"/bin/sh", "-c",
                    std::string(MMQUAKE_BINARY_DIR "/mmquake patch test '") + file.string() +
                        "' --case gup-empty-list-success --seconds 5 --json --out '" +
                        (tree_.root() / "out").string() + "' > '" + result + "'"};
    const auto done = run_command(command);
    EXPECT_TRUE(done) << done.error().message;
    std::ifstream in(result);
    result_ = json::parse(in, nullptr, false);
    output_ = done ? done->output_tail : "";
    return done ? done->exit_code : -1;
  }

  TestTree tree_;
  json result_;
  std::string output_;
};

TEST_F(PatchTest, AMendingPatchIsToldFromOneThatMendsNothing) {
  EXPECT_EQ(test(mail("list_empty(&movable_page_list) && false")), 0) << output_;
  ASSERT_TRUE(result_.is_object()) << output_;
  EXPECT_EQ(result_["result"], "fixed");
  EXPECT_EQ(result_["patched"]["found"], 0);
  EXPECT_GE(result_["unpatched"]["found"], 3);
  std::filesystem::remove_all(tree_.root() / "out");
  EXPECT_EQ(test(mail("mmquake_bug(gup_empty_list_success) && list_empty(&movable_page_list)")), 1)
      << output_;
  EXPECT_EQ(result_["result"], "not fixed");
}

TEST_F(PatchTest, OneThatDoesNotApplyNamesFileAndHunk) {
  std::string text = mail("true");
  text.replace(text.find("!collected"), 10, "!collecting");
  EXPECT_EQ(test(text), 4);
  EXPECT_THAT(output_, testing::HasSubstr("hunk 1 (line 2137) of mm/gup.c does not apply"));
}

}  // namespace
}  // namespace mmquake
