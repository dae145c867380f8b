// SPDX-License-Identifier: GPL-2.0-or-later
#include "workloads/migration/region.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <set>

namespace mmquake {
namespace {

using testing::HasSubstr;

const std::vector<Owner> kOwners{{1, 1}, {2, 1}, {3, 2}, {4, 2}};

class RegionTest : public testing::TestWithParam<Backing> {
 protected:
  void SetUp() override {
    auto memory = SharedMemory::create(1 << 20);
    ASSERT_TRUE(memory) << memory.error().message;
    memory_ = std::move(*memory);
  }
  Result<Region> make(Backing backing, int process = kAllProcesses) {
    return Region::create(7, backing, 3, process, kOwners, memory_);
  }
  SharedMemory memory_;
};

TEST_P(RegionTest, CellsLieApartEachWhollyInOnePage) {
  auto region = make(GetParam());
  if (!region) GTEST_SKIP() << region.error().message;
  std::set<std::byte*> bytes;
  std::set<std::uint64_t> places;
  for (std::size_t unit = 0; unit < region->units(); ++unit)
    for (std::size_t spot = 0; spot < region->spots(); ++spot)
      for (std::size_t slot = 0; slot < kOwners.size(); ++slot) {
        const CellAt cell{unit, spot, slot};
        std::byte* at = region->at(cell);
        const auto address = reinterpret_cast<std::uintptr_t>(at);
        EXPECT_EQ(address % kCellBytes, 0U);
        EXPECT_EQ(address / kSmallPage * kSmallPage, region->page_of(unit, spot));
        EXPECT_EQ((address + kCellBytes - 1) / kSmallPage, address / kSmallPage);
        EXPECT_GE(at, region->mapping().data());
        EXPECT_LE(at + kCellBytes, region->mapping().data() + region->mapping().size());
        EXPECT_TRUE(bytes.insert(at).second);
        EXPECT_TRUE(places.insert(region->place(cell).index).second);
        EXPECT_EQ(region->place(cell).owner, kOwners[slot].id);
      }
}

INSTANTIATE_TEST_SUITE_P(All, RegionTest,
                         testing::Values(Backing::kAnon4k, Backing::kAnonThp, Backing::kShmem4k));

TEST_F(RegionTest, PrivateMemoryHasTheOwnersOfItsProcess) {
  auto region = make(Backing::kAnon4k, 2);
  ASSERT_TRUE(region) << region.error().message;
  EXPECT_EQ(region->owners().size(), 2U);
  EXPECT_EQ(region->slot_of(3), 0U);
  EXPECT_EQ(region->slot_of(1), 2U);
  EXPECT_TRUE(region->seen_by(2));
  EXPECT_FALSE(region->seen_by(1));
  EXPECT_EQ(region->name(), "anon-4k of process 2");
}

TEST_F(RegionTest, ADiscardedUnitStartsAnew) {
  auto region = make(Backing::kShmem4k);
  ASSERT_TRUE(region) << region.error().message;
  region->populate(1, 0);
  region->populate(1, 0);
  const CellAt cell{1, 1, 0};
  EXPECT_EQ(region->book(cell).published, 1U) << "the second call finds it populated";
  EXPECT_EQ(region->book({1, 1, 1}).published, 0U);
  EXPECT_FALSE(read_own_cell(region->at(cell), region->place(cell), region->book(cell)).damage);
  ASSERT_TRUE(region->discard_unit(1));
  EXPECT_EQ(region->book(cell).intended, 0U);
  EXPECT_EQ(load_cell(region->at(cell)), CellImage{});
  EXPECT_FALSE(read_cell(region->at(cell), region->place(cell), region->book(cell)).damage);
}

TEST_F(RegionTest, DamageIsDescribed) {
  auto region = make(Backing::kShmem4k);
  ASSERT_TRUE(region) << region.error().message;
  region->populate(2, 3);
  ASSERT_TRUE(region->mapping().discard(2 * kSmallPage, kSmallPage));
  const CellAt cell{2, 0, 3};
  const CellReading seen = read_own_cell(region->at(cell), region->place(cell), region->book(cell));
  ASSERT_EQ(seen.damage, Damage::kZero);
  const std::string text = damage_text(*region, cell, seen, "me", 5);
  EXPECT_EQ(text.substr(0, text.find('\n')), "a cell of shmem-4k memory is zero");
  EXPECT_THAT(text, HasSubstr("read by me in round 5: shmem-4k, unit 2, spot 0"));
  EXPECT_THAT(text, HasSubstr("read again: zero"));
  EXPECT_THAT(text, HasSubstr("page map of process"));
}

TEST_F(RegionTest, AnotherProcessCanBeRead) {
  auto region = make(Backing::kAnon4k, 1);
  ASSERT_TRUE(region) << region.error().message;
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    region->populate(2, 1);
    [[maybe_unused]] const ssize_t wrote = write(ready[1], "x", 1);
    pause();
  }
  char byte = 0;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  std::vector<CellImage> images;
  const bool read = read_spot(child, *region, 2, 0, images);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  close(ready[0]);
  close(ready[1]);
  if (!read) GTEST_SKIP() << "process_vm_readv is not allowed here";
  EXPECT_EQ(images.at(0), CellImage{});
  EXPECT_EQ(images.at(1), make_cell(region->place({2, 0, 1}), 1));
  EXPECT_EQ(region->book({2, 0, 1}).published, 1U) << "the book is shared";
}

TEST(SharedMemoryTest, RunsOutWithAMessage) {
  auto memory = SharedMemory::create(4096);
  ASSERT_TRUE(memory);
  EXPECT_TRUE(memory->take<std::uint64_t>(100));
  auto more = memory->take<std::uint64_t>(1000);
  ASSERT_FALSE(more);
  EXPECT_THAT(more.error().message, HasSubstr("ask for fewer pages"));
}

TEST(SharedTextTest, TheFirstOneWinsUntilItIsTaken) {
  SharedText text;
  EXPECT_FALSE(text.take());
  text.put("first");
  text.put("second");
  EXPECT_TRUE(text.is_set());
  EXPECT_EQ(text.take(), "first");
  EXPECT_FALSE(text.take());
  text.put(std::string(10000, 'x'));
  EXPECT_EQ(text.take()->size(), 4096U);
}

}  // namespace
}  // namespace mmquake
