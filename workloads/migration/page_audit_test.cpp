// SPDX-License-Identifier: GPL-2.0-or-later
#include "workloads/migration/page_audit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>

namespace mmquake {
namespace {

using testing::HasSubstr;

NodeRanges two_nodes() {
  return *NodeRanges::from_zoneinfo(
      "Node 0, zone Normal\n spanned 10000\n start_pfn: 0\n"
      "Node 1, zone Normal\n spanned 10000\n start_pfn: 10000\n");
}

PageEntry page(std::uint64_t pfn) {
  return {1ULL << 63 | pfn};
}

Sight sight(std::uint32_t region, std::size_t unit, int process, int said, std::uint64_t pfn) {
  Sight sight;
  sight.region = region;
  sight.unit = unit;
  sight.process = process;
  sight.name = "anon-4k";
  sight.said = said;
  sight.entry = page(pfn);
  return sight;
}

std::string title_of(const std::optional<FindingRecord>& finding) {
  return finding ? finding->kind + ": " + finding->title : "nothing";
}

TEST(JudgeSights, AcceptsWhatAgrees) {
  Sight huge = sight(1, 0, 0, 1, 10240);
  huge.pages = 512;
  EXPECT_EQ(title_of(judge_sights({sight(0, 0, 0, 0, 5), sight(0, 0, 1, 0, 5),
                                   sight(0, 1, 0, 1, 10239), huge, sight(2, 0, 0, 1, 10752)},
                                  two_nodes())),
            "nothing");
}

TEST(JudgeSights, APageThatIsNotMappedSaysNothing) {
  Sight absent = sight(0, 0, 1, -ENOENT, 0);
  absent.entry = PageEntry{};
  EXPECT_EQ(title_of(judge_sights({sight(0, 0, 0, 0, 5), absent}, two_nodes())), "nothing");
  Sight moving = absent;
  moving.entry.raw = 1ULL << 62 | 77;
  EXPECT_EQ(title_of(judge_sights({sight(0, 0, 0, 0, 5), moving}, two_nodes())), "nothing");
}

TEST(JudgeSights, NodeAndPfnMustAgree) {
  const auto found = judge_sights({sight(0, 0, 0, 1, 5)}, two_nodes());
  EXPECT_THAT(title_of(found), HasSubstr("misplacement: move_pages and the page map disagree"));
  EXPECT_THAT(found->evidence.at("pages"), HasSubstr("the PFN lies on node 0"));
  EXPECT_EQ(title_of(judge_sights({sight(0, 0, 0, 1, 30000)}, two_nodes())), "nothing")
      << "a PFN outside of all ranges is not judged";
}

TEST(JudgeSights, ProcessesMustSeeOnePage) {
  EXPECT_THAT(title_of(judge_sights({sight(0, 3, 1, 0, 5), sight(0, 3, 2, 0, 6)}, two_nodes())),
              HasSubstr("corruption: processes see different pages"));
}

TEST(JudgeSights, PlacesMustNotShareAPage) {
  EXPECT_THAT(title_of(judge_sights({sight(0, 3, 1, 0, 5), sight(1, 3, 2, 0, 5)}, two_nodes())),
              HasSubstr("corruption: two places share one page"));
  Sight huge = sight(1, 0, 1, 0, 1024);
  huge.pages = 512;
  EXPECT_THAT(title_of(judge_sights({sight(0, 3, 1, 0, 1535), huge}, two_nodes())),
              HasSubstr("corruption: two places share one page"));
  EXPECT_EQ(title_of(judge_sights({sight(0, 3, 1, 0, 1536), huge}, two_nodes())), "nothing");
}

QuietMove quiet(int status, int said, std::uint64_t pfn) {
  QuietMove move;
  move.what = "anon-4k, unit 1";
  move.by = "mbind";
  move.before = 0;
  move.status = status;
  move.said = said;
  move.entry = page(pfn);
  return move;
}

TEST(JudgeQuiet, ThePageIsWhereTheCallSays) {
  EXPECT_EQ(title_of(judge_quiet({quiet(1, 1, 10001)}, two_nodes())), "nothing");
  for (const QuietMove& move : {quiet(1, 0, 10001), quiet(1, 1, 1), quiet(0, 1, 10001)}) {
    EXPECT_EQ(title_of(judge_quiet({move}, two_nodes())),
              "misplacement: a page is not where mbind put it");
  }
}

TEST(JudgeQuiet, ARefusalPromisesNothing) {
  for (const int status : {-EBUSY, -EAGAIN, kNotReported}) {
    EXPECT_EQ(title_of(judge_quiet({quiet(status, 0, 1)}, two_nodes())), "nothing");
  }
  EXPECT_EQ(title_of(judge_quiet({quiet(1, -ENOENT, 0)}, two_nodes())), "nothing");
}

TEST(BackgroundMoves, GrowWithCompactionNotWithOurs) {
  EXPECT_EQ(background_moves({{"pgmigrate_success", 5}}), 0U);
  EXPECT_EQ(background_moves({{"compact_isolated", 5}, {"thp_collapse_alloc", 1}}), 6U);
}

TEST(LookAt, SeesOwnAndSharedMemory) {
  auto memory = SharedMemory::create(1 << 20);
  ASSERT_TRUE(memory);
  std::vector<Region> regions;
  for (const auto& [backing, process] :
       {std::pair{Backing::kShmem4k, kAllProcesses}, {Backing::kAnon4k, 1}}) {
    auto region = Region::create(static_cast<std::uint32_t>(regions.size()), backing, 4, process,
                                 {{1, 1}}, *memory);
    ASSERT_TRUE(region) << region.error().message;
    regions.push_back(std::move(*region));
  }
  regions[0].populate(2, 0);
  auto all = look_at(regions, 1, getpid(), nullptr);
  if (!all) GTEST_SKIP() << all.error().message;
  EXPECT_EQ(all->size(), 8U);
  EXPECT_TRUE(all->at(2).entry.present());
  EXPECT_FALSE(all->at(1).entry.present());
  EXPECT_GE(all->at(2).said, 0);
  EXPECT_EQ(all->at(7).name, "anon-4k of process 1");
  auto shared = look_at(regions, 0, getpid(), nullptr);
  ASSERT_TRUE(shared);
  EXPECT_EQ(shared->size(), 4U) << "the runner does not see a child's private memory";
}

}  // namespace
}  // namespace mmquake
