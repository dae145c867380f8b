// SPDX-License-Identifier: GPL-2.0-or-later
#include <gmock/gmock.h>

#include "host/plan/plan.h"
#include "host/plan/test_tree.h"

namespace mmquake {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Pair;

// Line numbers in the expectations below are those of this text.
constexpr const char* kCase = R"(summary = "s"
workload = "uffd-thp-wait"
machine = "m"
[params]
variant = "anon-wp"
rounds = 7
[bug]
kernel = "specimen"
switches = ["some-bug"]
[clean]
kernel = "clean"
seconds = 90.5
[expect]
kinds = ["hang"]
titles = ["hang in handle_userfault"]
)";

class CaseSpecTest : public testing::Test {
 protected:
  CaseSpecTest() {
    const std::string kernel =
        "summary = \"s\"\nsource = \"debian:linux-source-6.1\"\nfragments = [\"base.config\"]\n";
    tree_.write("configs/fragments/base.config", "");
    tree_.write("images/patches/some.patch", "");
    tree_.write("configs/kernels/clean.toml", kernel);
    tree_.write("configs/kernels/specimen.toml",
                kernel + "patches = [\"some.patch\"]\nbugs = [\"some-bug\", \"other-bug\"]\n");
    tree_.write("configs/machines/m.toml",
                "summary = \"s\"\n[[node]]\ncpus = 1\nmemory = \"1G\"\n");
  }
  Result<CaseSpec> read(const std::string& text) {
    path_ = tree_.write("configs/cases/c.toml", text);
    return Catalogue(tree_.root() / "configs").find_case("c");
  }
  std::string complaint(const std::string& text) {
    const auto spec = read(text);
    EXPECT_FALSE(spec) << text;
    if (spec) return "";
    EXPECT_EQ(spec.error().kind, ErrorKind::kUsage);
    EXPECT_THAT(spec.error().message, testing::StartsWith(path_.string() + ":"));
    return spec.error().message;
  }
  // kCase with `from` replaced by `to`.
  static std::string with(const std::string& from, const std::string& to) {
    std::string text = kCase;
    const std::size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
  }
  std::string complaint_with(const std::string& from, const std::string& to) {
    return complaint(with(from, to));
  }
  std::string widen_complaint(const std::string& lines) {
    return complaint(std::string(kCase) + "[[widen]]\n" + lines);
  }

  TestTree tree_;
  std::filesystem::path path_;
};

TEST_F(CaseSpecTest, ReadsACase) {
  const auto spec = read(std::string(kCase) +
                         "[[widen]]\nsite = \"handle_userfault+0x1f\"\nmin_us = 5\nmax_us = 10\n"
                         "probability = 0.5\ncomm = \"faulter\"\nmode = \"spin\"\n"
                         "[[widen]]\nsite = \"folio_copy\"\nmax_us = 10\n");
  ASSERT_TRUE(spec) << spec.error().message;
  EXPECT_EQ(spec->name, "c");
  EXPECT_EQ(spec->workload, "uffd-thp-wait");
  EXPECT_EQ(spec->machine, "m");
  EXPECT_THAT(spec->params, ElementsAre(Pair("rounds", "7"), Pair("variant", "anon-wp")));
  EXPECT_EQ(spec->bug_kernel, "specimen");
  EXPECT_THAT(spec->bugs, ElementsAre("some-bug"));
  EXPECT_EQ(spec->bug_seconds, 30);
  EXPECT_EQ(spec->clean_kernel, "clean");
  EXPECT_EQ(spec->clean_seconds, 90.5);
  EXPECT_THAT(spec->expect_kinds, ElementsAre("hang"));
  EXPECT_EQ(spec->expect_titles, std::vector<std::string>{"hang in handle_userfault"});
  ASSERT_EQ(spec->widen.size(), 2U);
  EXPECT_EQ(spec->widen[0].site, "handle_userfault+0x1f");
  EXPECT_EQ(spec->widen[0].min_us, 5U);
  EXPECT_EQ(spec->widen[0].probability, 0.5);
  EXPECT_EQ(spec->widen[0].comm, "faulter");
  EXPECT_EQ(spec->widen[0].mode, "spin");
  EXPECT_EQ(spec->widen[1].probability, 1);
  EXPECT_EQ(spec->widen[1].mode, "auto");
}

TEST_F(CaseSpecTest, TimesHaveARange) {
  for (const char* seconds : {"-1", "0", "0.5", "86401", "nan", "-inf"}) {
    EXPECT_THAT(complaint_with("90.5", seconds),
                AllOf(HasSubstr(":12:11: 'clean.seconds' is "), EndsWith("from 1 to 86400")))
        << seconds;
  }
  EXPECT_THAT(complaint_with("90.5", "\"90\""), HasSubstr("must be a number from 1 to 86400"));
}

TEST_F(CaseSpecTest, NamesOfOtherFilesMustExist) {
  EXPECT_THAT(complaint_with("machine = \"m\"", "machine = \"n\""),
              AllOf(HasSubstr(":3:11: 'machine' cannot be used: unknown machine 'n'"),
                    HasSubstr("did you mean 'm'?")));
  EXPECT_THAT(complaint_with("kernel = \"clean\"", "kernel = \"claen\""),
              AllOf(HasSubstr(":11:10: 'clean.kernel'"), HasSubstr("did you mean 'clean'?")));
  EXPECT_THAT(complaint_with("\"specimen\"", "\"spiecmen\""),
              AllOf(HasSubstr(":8:10: 'bug.kernel'"), HasSubstr("did you mean 'specimen'?")));
}

TEST_F(CaseSpecTest, SwitchesMustBeTheKernels) {
  EXPECT_THAT(complaint_with("\"some-bug\"", "\"soem-bug\""),
              AllOf(HasSubstr(":9:12: 'bug.switches' names 'soem-bug'"),
                    HasSubstr("did you mean 'some-bug'?")));
  EXPECT_THAT(complaint_with("kernel = \"specimen\"", "kernel = \"clean\""),
              HasSubstr("which kernel 'clean' does not have; there are none"));
}

TEST_F(CaseSpecTest, WhatIsWrongInAnotherFileIsToldWithItsPosition) {
  tree_.write("configs/machines/m.toml", "summary = \"s\"\n[[node]]\ncpus = 0\nmemory = \"1G\"\n");
  EXPECT_THAT(complaint(kCase), AllOf(HasSubstr(":3:11: 'machine' cannot be used: "),
                                      HasSubstr("m.toml:2:1: "), HasSubstr("0 CPUs together")));
}

TEST_F(CaseSpecTest, AKindIsOneThatAFindingCanHave) {
  EXPECT_THAT(
      complaint_with("\"hang\"", "\"hnag\""),
      HasSubstr(":14:10: 'expect.kinds' holds the unknown kind 'hnag'; did you mean 'hang'"));
  EXPECT_THAT(complaint_with("[\"hang\"]", "[]"), HasSubstr("at least one kind"));
  EXPECT_TRUE(is_finding_kind("hung-task"));
  EXPECT_FALSE(is_finding_kind(""));
}

TEST_F(CaseSpecTest, TheThreePartsAreNeeded) {
  const std::string text = complaint("summary = \"s\"\nworkload = \"w\"\nmachine = \"m\"\n");
  for (const char* part : {"'bug' is missing", "'clean' is missing", "'expect' is missing"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
  EXPECT_THAT(complaint("bug = 1\n"), HasSubstr("'bug' must be a table: [bug]"));
  EXPECT_THAT(complaint_with("[expect]", "[exepct]"),
              AllOf(HasSubstr(":13:2: unknown key 'exepct'; did you mean 'expect'?")));
}

TEST_F(CaseSpecTest, AParameterIsTextOrAnInteger) {
  for (const char* value : {"1.5", "true", "[1]", "{}"}) {
    EXPECT_THAT(complaint_with("rounds = 7", std::string("rounds = ") + value),
                HasSubstr(":6:10: 'params.rounds' must be a string or an integer"));
  }
}

TEST_F(CaseSpecTest, AWidenSiteIsWhatTheModuleTakes) {
  const std::pair<const char*, const char*> cases[] = {
      {"max_us = 1\n", "'widen[0].site' is missing"},
      {"site = \"f\"\n", "'widen[0].max_us' is missing"},
      {"site = \"f g\"\nmax_us = 1\n", "it must be SYMBOL or SYMBOL+0xOFFSET"},
      {"site = \"f|\"\nmax_us = 1\n", "'|' between them"},
      {"site = \"|f\"\nmax_us = 1\n", "'|' between them"},
      {"site = \"f+12\"\nmax_us = 1\n", "SYMBOL+0xOFFSET"},
      {"site = \"f+0x\"\nmax_us = 1\n", "SYMBOL+0xOFFSET"},
      {"site = \"+0x1\"\nmax_us = 1\n", "SYMBOL+0xOFFSET"},
      {"site = \"mm/memory.c:x\"\nmax_us = 1\n", "SYMBOL+0xOFFSET"},
      {"site = \"f\"\nmax_us = 0\n", "from 1 to 10000000"},
      {"site = \"f\"\nmax_us = 10000001\n", "from 1 to 10000000"},
      {"site = \"f\"\nmin_us = -1\nmax_us = 1\n", "from 0 to 10000000"},
      {"site = \"f\"\nmin_us = 2\nmax_us = 1\n", "'widen[0].min_us' is 2; it must be at most"},
      {"site = \"f\"\nmax_us = 1\nprobability = 0\n", "'widen[0].probability' is 0"},
      {"site = \"f\"\nmax_us = 1\nprobability = 1.1\n", "to 1"},
      {"site = \"f\"\nmax_us = 1\ncomm = \"sixteen-letters-\"\n", "at most 15 bytes"},
      {"site = \"f\"\nmax_us = 1\ncomm = \"a b\"\n", "no white space"},
      {"site = \"f\"\nmax_us = 1\nmode = \"sleep\"\n", "'auto' or 'spin'"},
      {"site = \"f\"\nmax_us = 1\nsites = 1\n",
       "unknown key 'widen[0].sites'; did you mean 'site'"},
  };
  for (const auto& [lines, says] : cases) {
    EXPECT_THAT(widen_complaint(lines), HasSubstr(says)) << lines;
  }
}

TEST_F(CaseSpecTest, TheWidenerHasRoomForSixtyFourSites) {
  std::string text = kCase;
  for (int i = 0; i < 65; ++i) text += "[[widen]]\nsite = \"f\"\nmax_us = 1\n";
  EXPECT_THAT(complaint(text), HasSubstr("'widen' tables are 65; the widener has room for 64"));
}

}  // namespace
}  // namespace mmquake
