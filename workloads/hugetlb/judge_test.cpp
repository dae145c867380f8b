// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the judging functions of hugetlb-shared-pmd make of what a broken and a right kernel show.
#include "workloads/hugetlb/judge.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <csignal>
#include <optional>

#include "guest/memory/mapping.h"
#include "workloads/hugetlb/shared_pmd_area.h"
#include "workloads/hugetlb/sharer.h"

namespace mmquake {
namespace {

constexpr CellPlace kPlace{0, 3, 5};

TEST(Judge, WhatWasPublishedIsRight) {
  EXPECT_FALSE(judge_quiet_cell(make_cell(kPlace, 7), kPlace, 7).damage);
}

TEST(Judge, AnOlderGenerationIsTheOldPage) {
  const CellReading reading = judge_quiet_cell(make_cell(kPlace, 6), kPlace, 7);
  ASSERT_TRUE(reading.damage);
  EXPECT_EQ(*reading.damage, Damage::kStale);
  EXPECT_EQ(reading.oldest, 7U);
  EXPECT_EQ(reading.newest, 7U);
}

TEST(Judge, AnotherPagesCellIsForeign) {
  const CellReading reading = judge_quiet_cell(make_cell({0, 3, 6}, 7), kPlace, 7);
  ASSERT_TRUE(reading.damage);
  EXPECT_EQ(*reading.damage, Damage::kForeign);
}

TEST(Judge, ACellThatNobodyWroteIsNotJudged) {
  EXPECT_FALSE(judge_quiet_cell(CellImage{}, kPlace, 0).damage);
  EXPECT_TRUE(judge_quiet_cell(CellImage{}, kPlace, 1).damage);
}

TEST(Judge, TitlesSayWhoSawWhat) {
  EXPECT_EQ(title_of(Witness::kOwner, Damage::kStale), "a process's write is lost after migration");
  EXPECT_EQ(title_of(Witness::kThirdParty, Damage::kStale),
            "a process writes to the old page after migration");
  EXPECT_EQ(title_of(Witness::kReader, Damage::kStale),
            "a process reads the old page after migration");
  EXPECT_EQ(title_of(Witness::kDevice, Damage::kStale),
            "a device reads the old page after migration");
  EXPECT_EQ(title_of(Witness::kDeviceWrite, Damage::kStale),
            "a device's write is lost after migration");
}

TEST(Judge, OtherDamageIsNotCalledTheOldPage) {
  EXPECT_EQ(title_of(Witness::kDevice, Damage::kForeign),
            "a device sees a foreign cell in shared hugetlb memory");
  EXPECT_EQ(title_of(Witness::kOwner, Damage::kZero),
            "a process sees a zero cell in shared hugetlb memory");
  EXPECT_EQ(title_of(Witness::kDeviceWrite, Damage::kTorn),
            "a process sees a torn cell in shared hugetlb memory");
}

TEST(Sharing, OneEntryThatAllUse) {
  EXPECT_TRUE(one_entry_for_all({0x200, 0x200}, 1));
  EXPECT_TRUE(one_entry_for_all({0x200, 0x200, 0x200}, 1));
}

TEST(Sharing, EntriesOfTheirOwn) {
  EXPECT_FALSE(one_entry_for_all({0x200, 0x200}, 2));
}

TEST(Sharing, SomebodyHasNotThePageOrAnotherOne) {
  EXPECT_FALSE(one_entry_for_all({0x200, 0}, 1));
  EXPECT_FALSE(one_entry_for_all({0, 0}, 1));
  EXPECT_FALSE(one_entry_for_all({0x200, 0x400}, 1));
  EXPECT_FALSE(one_entry_for_all({0x200}, 1));
  EXPECT_FALSE(one_entry_for_all({}, 1));
}

TEST(Mappings, AProcessThatIsGoneIsSaid) {
  const std::uint64_t here = 1;
  const std::string text =
      describe_mappings(reinterpret_cast<std::uintptr_t>(&here), {0, 0x7ffffffe});
  EXPECT_NE(text.find("process 0: 0x"), std::string::npos) << text;
  EXPECT_NE(text.find("process 1: open"), std::string::npos) << text;
}

TEST(Sharer, SeesSharedMemoryAndEndsWithItsOwner) {
  void* at = mmap(nullptr, kSmallPage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(at, MAP_FAILED);
  auto& word = *static_cast<std::uint64_t*>(at);
  const auto address = reinterpret_cast<std::uintptr_t>(at);
  word = 1;
  pid_t pid = 0;
  {
    Result<Sharer> sharer = Sharer::start();
    ASSERT_TRUE(sharer) << sharer.error().message;
    pid = sharer->pid();
    std::uint64_t seen = 0;
    ASSERT_TRUE(sharer->read(address, &seen, sizeof(seen)));
    EXPECT_EQ(seen, 1U);
    seen = 2;
    ASSERT_TRUE(sharer->write(address, &seen, sizeof(seen)));
    EXPECT_EQ(word, 2U);
    EXPECT_FALSE(sharer->read(8, &seen, sizeof(seen)));  // nothing is mapped there
  }
  EXPECT_EQ(kill(pid, 0), -1);
  munmap(at, kSmallPage);
}

TEST(SharedPmdArea, IsAlignedAsThePageOfPmdsNeedsIt) {
  const Result<SharedPmdArea> area = SharedPmdArea::create();
  ASSERT_TRUE(area) << area.error().message;
  EXPECT_EQ(area->address() % SharedPmdArea::kPmdSpan, 0U);
  const std::vector<std::uintptr_t> pages = area->pages(SharedPmdArea::kMaxPages);
  EXPECT_EQ(pages.front(), area->address());
  EXPECT_LT(pages.back(), area->address() + SharedPmdArea::kPmdSpan);
}

}  // namespace
}  // namespace mmquake
