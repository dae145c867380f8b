// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/memory/pattern.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace mmquake {
namespace {

constexpr CellPlace kPlace{.region = 1, .owner = 3, .index = 17};

CellImage spliced(const CellImage& front, const CellImage& back, std::size_t at) {
  CellImage image = front;
  for (std::size_t i = at; i < kCellWords; ++i) image[i] = back[i];
  return image;
}

TEST(Classify, AcceptsEveryAllowedGeneration) {
  for (std::uint64_t g = 5; g <= 7; ++g)
    EXPECT_FALSE(classify(make_cell(kPlace, g), kPlace, 5, 7)) << g;
}

TEST(Classify, TellsTheFourDamagesApart) {
  EXPECT_EQ(classify(CellImage{}, kPlace, 5, 5), Damage::kZero);
  EXPECT_EQ(classify(make_cell(kPlace, 4), kPlace, 5, 5), Damage::kStale);
  CellPlace other = kPlace;
  other.index = 18;
  EXPECT_EQ(classify(make_cell(other, 5), kPlace, 5, 5), Damage::kForeign);
  other = kPlace;
  other.region = 2;
  EXPECT_EQ(classify(make_cell(other, 5), kPlace, 5, 5), Damage::kForeign);
  other = kPlace;
  other.owner = 4;
  EXPECT_EQ(classify(make_cell(other, 5), kPlace, 5, 5), Damage::kForeign);
  EXPECT_EQ(classify(make_cell(kPlace, 6), kPlace, 5, 5), Damage::kForeign);
  CellImage noise;
  noise.fill(0xa5a5a5a5a5a5a5a5ULL);
  EXPECT_EQ(classify(noise, kPlace, 5, 5), Damage::kForeign);
}

TEST(Classify, ASpliceOfTwoGenerationsIsTornWhereverItIsCut) {
  const CellImage older = make_cell(kPlace, 4);
  const CellImage newer = make_cell(kPlace, 5);
  for (std::size_t at = 3; at < kCellWords; ++at) {
    EXPECT_EQ(classify(spliced(older, newer, at), kPlace, 5, 5), Damage::kTorn) << at;
    EXPECT_EQ(classify(spliced(newer, older, at), kPlace, 5, 5), Damage::kTorn) << at;
  }
  for (std::size_t at = 1; at < kCellWords; ++at) {
    EXPECT_EQ(classify(spliced(newer, CellImage{}, at), kPlace, 5, 5), Damage::kTorn) << at;
    EXPECT_EQ(classify(spliced(CellImage{}, newer, at), kPlace, 5, 5), Damage::kTorn) << at;
  }
}

TEST(Classify, AnyFlippedBitIsDamage) {
  const CellImage good = make_cell(kPlace, 9);
  for (std::size_t word = 0; word < kCellWords; ++word)
    for (int bit = 0; bit < 64; ++bit) {
      CellImage bad = good;
      bad[word] ^= 1ULL << bit;
      EXPECT_TRUE(classify(bad, kPlace, 9, 9)) << word << " " << bit;
    }
}

TEST(ClassifyInFlight, AllowsAMixOfAllowedGenerationsOnly) {
  const CellImage four = make_cell(kPlace, 4);
  const CellImage five = make_cell(kPlace, 5);
  const CellImage six = make_cell(kPlace, 6);
  EXPECT_FALSE(classify_in_flight(spliced(six, five, 5), kPlace, 5, 6));
  EXPECT_EQ(classify_in_flight(spliced(six, four, 5), kPlace, 5, 6), Damage::kTorn);
  EXPECT_EQ(classify_in_flight(four, kPlace, 5, 6), Damage::kStale);
  EXPECT_EQ(classify_in_flight(CellImage{}, kPlace, 5, 6), Damage::kZero);
  CellPlace other = kPlace;
  other.index = 18;
  EXPECT_EQ(classify_in_flight(make_cell(other, 5), kPlace, 5, 6), Damage::kForeign);
  EXPECT_EQ(classify_in_flight(make_cell(kPlace, 7), kPlace, 5, 6), Damage::kForeign);
}

TEST(ClassifyInFlight, TheFirstWriteMayShowZeros) {
  const CellImage one = make_cell(kPlace, 1);
  EXPECT_FALSE(classify_in_flight(CellImage{}, kPlace, 0, 1));
  EXPECT_FALSE(classify_in_flight(spliced(one, CellImage{}, 4), kPlace, 0, 1));
}

struct alignas(64) Slot {
  std::array<std::byte, kCellBytes> bytes{};
};

TEST(Published, AWriteIsSeenByOwnerAndThirdParty) {
  Slot slot;
  Published book;
  EXPECT_FALSE(read_cell(slot.bytes.data(), kPlace, book).damage);
  EXPECT_FALSE(read_own_cell(slot.bytes.data(), kPlace, book).damage);
  publish_next(slot.bytes.data(), kPlace, book);
  publish_next(slot.bytes.data(), kPlace, book);
  EXPECT_FALSE(read_cell(slot.bytes.data(), kPlace, book).damage);
  EXPECT_FALSE(read_own_cell(slot.bytes.data(), kPlace, book).damage);
  store_cell(slot.bytes.data(), make_cell(kPlace, 1));
  EXPECT_EQ(read_cell(slot.bytes.data(), kPlace, book).damage, Damage::kStale);
  const CellReading own = read_own_cell(slot.bytes.data(), kPlace, book);
  EXPECT_EQ(own.damage, Damage::kStale);
  const std::string text = describe(own.image, kPlace, own.oldest, own.newest);
  EXPECT_NE(text.find("generation 2..2"), std::string::npos) << text;
  EXPECT_NE(text.find("generation 1, magic right, checksum right"), std::string::npos) << text;
}

TEST(Published, ARacingReaderIsNeverWrong) {
  Slot slot;
  Published book;
  std::atomic<bool> done{false};
  std::thread writer([&] {
    for (int i = 0; i < 200000; ++i) publish_next(slot.bytes.data(), kPlace, book);
    done = true;
  });
  std::uint64_t reads = 0;
  std::string wrong;
  while (!done && wrong.empty()) {
    const CellReading reading = read_cell(slot.bytes.data(), kPlace, book);
    if (reading.damage) wrong = describe(reading.image, kPlace, reading.oldest, reading.newest);
    ++reads;
  }
  writer.join();
  EXPECT_EQ(wrong, "");
  EXPECT_GT(reads, 0U);
  EXPECT_EQ(book.published, 200000U);
}

}  // namespace
}  // namespace mmquake
