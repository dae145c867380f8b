// SPDX-License-Identifier: GPL-2.0-or-later
//
// Some compositions on a clean kernel: each oracle finds what is broken on purpose, and nothing
// where nothing is. And one bug that the composition finds by itself on the kernel that has it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "workloads/vm_run.h"

namespace mmquake {
namespace {

using testing::HasSubstr;

struct Composed {
  std::string name;
  std::vector<std::string> params;
  std::string title;  // of the finding; empty: it passes
  std::string kind = "corruption";
};

std::ostream& operator<<(std::ostream& out, const Composed& composed) {
  return out << composed.name;
}

class ComposeOracle : public testing::TestWithParam<Composed> {};

TEST_P(ComposeOracle, SeesWhatIsWrong) {
  const Composed& expected = GetParam();
  std::vector<std::string> words{"compose", "--seconds", expected.title.empty() ? "6" : "30"};
  for (const std::string& param : expected.params) words.insert(words.end(), {"--param", param});
  const VmRun ran = run_in_vm("compose-" + expected.name, words);
  ASSERT_FALSE(ran.verdict.is_discarded()) << ran.output;
  if (expected.title.empty()) {
    EXPECT_EQ(ran.verdict["verdict"], "passed") << ran.output;
    EXPECT_GT(ran.verdict["counters"].value("migrations", 0), 0) << ran.text;
    EXPECT_GT(ran.verdict["counters"].value("overlaps", 0), 0) << ran.text;
    return;
  }
  EXPECT_EQ(ran.verdict["verdict"], "found") << ran.output;
  ASSERT_FALSE(ran.verdict["findings"].empty());
  EXPECT_EQ(ran.verdict["findings"][0]["kind"], expected.kind);
  EXPECT_THAT(ran.verdict["findings"][0]["title"].get<std::string>(), HasSubstr(expected.title));
}

// A racing write may turn any damage into torn data, so only that it is damage is certain.
INSTANTIATE_TEST_SUITE_P(
    All, ComposeOracle,
    testing::Values(
        Composed{"anonymous",
                 {"backing=anon-thp", "mover=mbind", "disturber=dontneed", "disturber2=fork-cow"},
                 ""},
        Composed{
            "file",
            {"backing=shmem-thp", "mover=move_pages", "disturber=truncate", "disturber2=vm-readv"},
            ""},
        Composed{"lost-write",
                 {"backing=anon-4k", "mover=move_pages", "provoke=lost-write"},
                 "data in anon-4k"},
        Composed{"foreign",
                 {"backing=shmem-4k", "mover=move_pages", "provoke=foreign"},
                 "data in shmem-4k"},
        Composed{
            "back-from-zap",
            {"backing=anon-thp", "mover=move_pages", "disturber=dontneed", "provoke=back-from-zap"},
            "data in anon-thp"},
        Composed{"unreported",
                 {"backing=anon-thp", "mover=move_pages", "watcher=uffd-wp", "provoke=unreported"},
                 "a write to a write-protected page was not reported"},
        Composed{"lost-resident",
                 {"backing=anon-4k", "mover=move_pages", "provoke=lost-resident"},
                 "a process's resident pages do not add up",
                 "leak"},
        Composed{"kept-pages",
                 {"backing=anon-4k", "mover=move_pages", "provoke=kept-pages"},
                 "memory did not come back",
                 "leak"},
        Composed{"kept-hugepage",
                 {"backing=hugetlb-2m", "mover=move_pages", "provoke=kept-hugepage"},
                 "hugetlb pages did not come back",
                 "leak"},
        Composed{"kept-locked",
                 {"backing=anon-4k", "mover=move_pages", "disturber=mlock", "provoke=kept-locked"},
                 "unlocked pages count as locked",
                 "leak"},
        Composed{"ptrace",
                 {"backing=anon-thp", "mover=mbind", "disturber=fork-cow", "disturber2=ptrace"},
                 ""},
        Composed{"lost-poke",
                 {"backing=anon-4k", "disturber=ptrace", "provoke=lost-poke"},
                 "stale data in anon-4k"},
        Composed{"minor",
                 {"backing=shmem-4k", "mover=mbind", "disturber=punch-hole", "disturber2=vm-readv",
                  "watcher=uffd-minor"},
                 ""},
        Composed{
            "minor-hugetlb",
            {"backing=hugetlb-2m", "mover=move_pages", "disturber=dontneed", "watcher=uffd-minor"},
            ""},
        Composed{
            "minor-unreported",
            {"backing=shmem-4k", "mover=move_pages", "watcher=uffd-minor", "provoke=unreported"},
            "an unmapped page of a file was mapped without its handler"},
        Composed{"minor-continue-other",
                 {"backing=shmem-4k", "mover=move_pages", "watcher=uffd-minor",
                  "provoke=continue-other"},
                 "data in shmem-4k"},
        Composed{
            "minor-unanswered",
            {"backing=shmem-4k", "mover=move_pages", "watcher=uffd-minor", "provoke=unanswered"},
            "hang in handle_userfault",
            "hang"}),
    [](const testing::TestParamInfo<Composed>& test) {
      std::string name = test.param.name;
      std::replace(name.begin(), name.end(), '-', '_');
      return name;
    });

// A switch that counts each split: without new huge pages each of the four blocks is split once.
TEST(ComposeOnSpecimen, HugePagesComeAgainAfterASplit) {
  const VmRun ran = run_in_vm(
      "compose-renewed",
      {"compose", "--seconds", "15", "--bugs", "split-no-sync", "--param", "backing=anon-thp",
       "--param", "mover=move_pages", "--param", "disturber=split-debugfs"},
      "specimen");
  ASSERT_FALSE(ran.verdict.is_discarded()) << ran.output;
  ASSERT_EQ(ran.verdict["verdict"], "passed") << ran.output;
  EXPECT_GT(ran.verdict["counters"]["bug-hits/split-no-sync"].get<int>(), 6) << ran.output;
  EXPECT_GT(ran.verdict["counters"]["blocks_renewed"].get<int>(), 0) << ran.output;
}

VmRun run_gigantic(const std::string& name, const std::vector<std::string>& params,
                   const std::string& kernel = "clean",
                   std::vector<std::string> more = {"--seconds", "20"}) {
  std::vector<std::string> words{"compose", "--machine", "numa2-gigantic-both", "--param",
                                 "backing=hugetlb-1g"};
  for (const std::string& param : params) words.insert(words.end(), {"--param", param});
  words.insert(words.end(), more.begin(), more.end());
  return run_in_vm(name, words, kernel);
}

TEST(ComposeGigantic, APageOfAGibibyteMovesAndKeepsItsContent) {
  const VmRun ran = run_gigantic("compose-gigantic",
                                 {"mover=move_pages", "disturber=punch-hole", "watcher=io_uring"});
  ASSERT_FALSE(ran.verdict.is_discarded()) << ran.output;
  EXPECT_EQ(ran.verdict["verdict"], "passed") << ran.output;
  EXPECT_GT(ran.verdict["counters"].value("migrations", 0), 0) << ran.text;
}

TEST(ComposeGigantic, ALostWriteIsSeen) {
  const VmRun ran =
      run_gigantic("compose-gigantic-lost", {"mover=move_pages", "provoke=lost-write"});
  ASSERT_FALSE(ran.verdict.is_discarded()) << ran.output;
  EXPECT_EQ(ran.verdict["verdict"], "found") << ran.output;
  ASSERT_FALSE(ran.verdict["findings"].empty());
  EXPECT_THAT(ran.verdict["findings"][0]["title"].get<std::string>(),
              HasSubstr("data in hugetlb-1g"));
}

// A device goes on using the page that was moved away.
TEST(ComposeGigantic, ADeviceThatIsNotToldOfAMigrationIsSeen) {
  const VmRun ran = run_gigantic("compose-gigantic-specimen", {"mover=mbind", "watcher=kvm"},
                                 "specimen", {"--seconds", "90", "--bugs", "hugetlb-no-notifier"});
  ASSERT_FALSE(ran.verdict.is_discarded()) << ran.output;
  EXPECT_EQ(ran.verdict["verdict"], "found") << ran.output;
  ASSERT_FALSE(ran.verdict["findings"].empty());
  EXPECT_THAT(ran.verdict["findings"][0]["title"].get<std::string>(),
              HasSubstr("data in hugetlb-1g"));
}

// A process that shares the page table goes on using the page that was moved away.
TEST(ComposeOnSpecimen, ABugIsFoundByItsDamage) {
  const VmRun ran =
      run_in_vm("compose-specimen",
                {"compose", "--seconds", "60", "--bugs", "hugetlb-no-unshare", "--param",
                 "backing=hugetlb-shared-pmd", "--param", "mover=move_pages"},
                "specimen");
  ASSERT_FALSE(ran.verdict.is_discarded()) << ran.output;
  EXPECT_EQ(ran.verdict["verdict"], "found") << ran.output;
  ASSERT_FALSE(ran.verdict["findings"].empty());
  EXPECT_THAT(ran.verdict["findings"][0]["title"].get<std::string>(),
              HasSubstr("data in hugetlb-shared-pmd"));
}

// Who pins goes on behind the end of a folio: what it passes by has a title of its own.
TEST(ComposeOnSpecimen, APageLeftBehindALargeFolioIsTold) {
  const VmRun ran = run_in_vm("compose-behind-a-folio",
                              {"compose", "--seconds", "60", "--machine", "numa2-movable", "--bugs",
                               "gup-compound-step", "--param", "backing=anon-thp", "--param",
                               "disturber=split-dontneed", "--param", "watcher=io_uring"},
                              "specimen");
  ASSERT_FALSE(ran.verdict.is_discarded()) << ran.output;
  EXPECT_EQ(ran.verdict["verdict"], "found") << ran.output;
  ASSERT_FALSE(ran.verdict["findings"].empty());
  EXPECT_EQ(ran.verdict["findings"][0]["title"],
            "a page behind a large folio is pinned for long in ZONE_MOVABLE");
}

// On a distribution's kernel, which has the drivers as modules: it need not be built.
TEST(ComposeOnSlowMemory, PagesGoDownAndUp) {
  const VmRun ran = run_in_vm("compose-demotion",
                              {"compose", "--seconds", "8", "--machine", "numa2-tiers", "--param",
                               "backing=anon-thp", "--param", "mover=demotion"},
                              "debian-6.1");
  ASSERT_FALSE(ran.verdict.is_discarded()) << ran.output;
  EXPECT_EQ(ran.verdict["verdict"], "passed") << ran.output;
  const auto& counters = ran.verdict["counters"];
  EXPECT_GT(counters.value("demotions", 0), 0) << ran.text;
  EXPECT_GT(counters.value("deeds/demotion/huge_pages_down", 0), 0) << ran.text;
  EXPECT_GT(counters.value("deeds/demotion/pages_seen_below", 0), 0) << ran.text;
  EXPECT_GT(counters.value("deeds/demotion/pages_brought_up", 0), 0) << ran.text;
}

// A machine without such a node is skipped, and says what is missing.
TEST(ComposeOnSlowMemory, WithoutItATrialIsSkipped) {
  const VmRun ran = run_in_vm(
      "compose-no-slow-memory",
      {"compose", "--seconds", "5", "--param", "backing=anon-4k", "--param", "mover=demotion"});
  ASSERT_FALSE(ran.verdict.is_discarded()) << ran.output;
  EXPECT_EQ(ran.verdict["verdict"], "skipped") << ran.output;
  EXPECT_THAT(ran.verdict["reason"].get<std::string>(), HasSubstr("slower tier of memory"));
}

}  // namespace
}  // namespace mmquake
