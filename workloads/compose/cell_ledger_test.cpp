// SPDX-License-Identifier: GPL-2.0-or-later
#include "workloads/compose/cell_ledger.h"

#include <gtest/gtest.h>

#include <array>
#include <thread>

namespace mmquake {
namespace {

constexpr CellPlace kPlace{1, 2, 3};

class CellLedger : public testing::Test {
 protected:
  std::byte* at() { return bytes_.data(); }
  void write(std::uint64_t generation) { write_cell(at(), kPlace, book_, mark_, generation); }
  std::optional<Damage> judge() { return judge_look(look_at_cell(at(), book_, mark_), kPlace); }
  void put(const CellImage& image) { store_cell(at(), image); }
  void empty(EmptyMark::How how = EmptyMark::How::kEmptied) {
    ASSERT_TRUE(mark_.begin());
    if (how == EmptyMark::How::kEmptied) {
      put({});
    }
    mark_.end(how);
  }

  alignas(64) std::array<std::byte, kCellBytes> bytes_{};
  CellBook book_;
  EmptyMark mark_;
};

TEST_F(CellLedger, FreshMemoryIsZero) {
  EXPECT_FALSE(judge());
  put(make_cell(kPlace, 1));
  EXPECT_EQ(judge(), Damage::kForeign);
}

TEST_F(CellLedger, WithoutEmptyingTheLastGenerationIsThere) {
  write(1);
  write(2);
  EXPECT_FALSE(judge());
  put(make_cell(kPlace, 1));
  EXPECT_EQ(judge(), Damage::kStale);
  put({});
  EXPECT_EQ(judge(), Damage::kZero);
  put(make_cell({1, 2, 4}, 2));
  EXPECT_EQ(judge(), Damage::kForeign);
}

TEST_F(CellLedger, AWithdrawnWriteIsAsIfItHadNotBegun) {
  write(1);
  empty(EmptyMark::How::kNothing);
  withdraw_write(book_, begin_write(book_, mark_, 2));
  EXPECT_TRUE(is_exact(look_at_cell(at(), book_, mark_)));
  EXPECT_FALSE(judge());
  put(make_cell(kPlace, 2));
  EXPECT_TRUE(judge());
}

TEST_F(CellLedger, AWriteInHalvesIsUnderWayBetweenThem) {
  write(1);
  (void)begin_write(book_, mark_, 2);
  EXPECT_FALSE(judge());
  put(make_cell(kPlace, 2));
  EXPECT_FALSE(judge());
  end_write(book_, mark_, 2);
  EXPECT_FALSE(judge());
  put(make_cell(kPlace, 1));
  EXPECT_EQ(judge(), Damage::kStale);
}

TEST_F(CellLedger, AfterEmptyingNothingComesBack) {
  write(1);
  write(2);
  empty();
  EXPECT_FALSE(judge());
  for (const std::uint64_t old : {1, 2}) {
    put(make_cell(kPlace, old));
    EXPECT_EQ(judge(), Damage::kStale) << old;
  }
  CellImage part{};
  part[5] = make_cell(kPlace, 2)[5];
  put(part);
  EXPECT_TRUE(judge());
}

TEST_F(CellLedger, WhatIsWrittenAfterEmptyingStays) {
  write(1);
  empty();
  write(2);
  EXPECT_FALSE(judge());
  put({});
  EXPECT_EQ(judge(), Damage::kZero);
  put(make_cell(kPlace, 1));
  EXPECT_EQ(judge(), Damage::kStale);
}

TEST_F(CellLedger, AWriteThatMeetsAnEmptyingMayBeLostInPart) {
  write(1);
  ASSERT_TRUE(mark_.begin());
  write(2);
  mark_.end(EmptyMark::How::kEmptied);
  EXPECT_FALSE(judge());  // the write came last
  CellImage part = make_cell(kPlace, 2);
  part[0] = part[3] = 0;
  put(part);
  EXPECT_FALSE(judge());
  put({});
  EXPECT_FALSE(judge());
  put(make_cell(kPlace, 1));
  EXPECT_EQ(judge(), Damage::kStale) << "the generation before is gone in any case";
}

TEST_F(CellLedger, ALookThatMeetsAnEmptyingMaySeeEither) {
  write(1);
  ASSERT_TRUE(mark_.begin());
  EXPECT_FALSE(judge());
  put({});
  EXPECT_FALSE(judge());
  put(make_cell({9, 9, 9}, 1));
  EXPECT_TRUE(judge());
  mark_.end(EmptyMark::How::kEmptied);
}

TEST_F(CellLedger, ACopyThatMeetsAWriteSaysNothingAndAnyOtherDoes) {
  write(1);
  CellLook look = begin_look(book_, mark_);
  look.copied = true;
  write(2);
  CellImage cut = make_cell(kPlace, 2);
  cut[4] ^= 0xffff;
  end_look(look, cut, book_, mark_);
  EXPECT_FALSE(judge_look(look, kPlace));
  look = begin_look(book_, mark_);
  look.copied = true;
  end_look(look, cut, book_, mark_);
  EXPECT_EQ(judge_look(look, kPlace), Damage::kTorn);
}

TEST_F(CellLedger, GivenUpPagesAreThereOrZero) {
  write(1);
  write(2);
  empty(EmptyMark::How::kGivenUp);
  EXPECT_FALSE(judge());
  put({});
  EXPECT_FALSE(judge());
  put(make_cell(kPlace, 1));
  EXPECT_EQ(judge(), Damage::kStale);
  write(3);
  EXPECT_FALSE(judge());
  put({});
  EXPECT_EQ(judge(), Damage::kZero) << "written again: it may not go any more";
}

TEST_F(CellLedger, GivenUpAndThenEmptiedIsZero) {
  write(1);
  empty(EmptyMark::How::kGivenUp);
  empty();
  EXPECT_FALSE(judge());
  put(make_cell(kPlace, 1));
  EXPECT_EQ(judge(), Damage::kStale);
}

TEST_F(CellLedger, OneAtATimeEmpties) {
  ASSERT_TRUE(mark_.begin());
  EXPECT_FALSE(mark_.begin());
  mark_.end(EmptyMark::How::kNothing);
  EXPECT_EQ(mark_.state(), EmptyState());
  EXPECT_TRUE(mark_.begin());
}

TEST_F(CellLedger, AReaderThatRacesWithWritesAndEmptyingAccusesNobody) {
  std::atomic<bool> done{false};
  std::thread writer([&] {
    for (std::uint64_t g = 1; g < 20000; ++g) {
      write(g);
    }
    done = true;
  });
  std::thread emptier([&] {
    while (!done) {
      if (mark_.begin()) {
        put({});
        mark_.end(EmptyMark::How::kEmptied);
      }
    }
  });
  std::uint64_t accused = 0;
  while (!done) {
    accused += judge() ? 1 : 0;
  }
  writer.join();
  emptier.join();
  EXPECT_EQ(accused, 0U);
}

}  // namespace
}  // namespace mmquake
