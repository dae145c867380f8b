// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/memory/pattern.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstddef>

namespace mmquake {
namespace {

constexpr std::uint64_t kMagic = 0x4d4d5155'00000000ULL;  // "MMQU", then the owner
constexpr std::uint64_t kMagicMask = 0xffffffff'00000000ULL;
constexpr std::size_t kGenerationWord = 2;
constexpr std::size_t kFillBegin = 3;
constexpr std::size_t kChecksumWord = 7;
constexpr std::uint64_t kFewGenerations = 16;

std::uint64_t mix(std::uint64_t x) {
  // The finaliser of SplitMix64: each input bit reaches each output bit.
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

std::uint64_t place_word(const CellPlace& place) {
  return std::uint64_t{place.region} << 48 | (place.index & 0xffff'ffffffffULL);
}

std::uint64_t checksum(const CellImage& image) {
  std::uint64_t sum = 0x6d6d7175616b65ULL;
  for (std::size_t i = 0; i < kChecksumWord; ++i) sum = mix(sum ^ image[i]);
  return sum;
}

bool is_zero(const CellImage& image) {
  return std::all_of(image.begin(), image.end(), [](std::uint64_t word) { return word == 0; });
}

std::uint64_t& word_at(std::byte* at, std::size_t i) {
  return reinterpret_cast<std::uint64_t*>(at)[i];
}

}  // namespace

CellImage make_cell(const CellPlace& place, std::uint64_t generation) {
  CellImage image{};
  image[0] = kMagic | place.owner;
  image[1] = place_word(place);
  image[kGenerationWord] = generation;
  for (std::size_t i = kFillBegin; i < kChecksumWord; ++i)
    image[i] = mix(image[0] ^ mix(image[1]) ^ mix(generation * kCellWords + i));
  image[kChecksumWord] = checksum(image);
  return image;
}

std::string_view to_string(Damage damage) {
  switch (damage) {
    case Damage::kZero:
      return "zero";
    case Damage::kStale:
      return "stale";
    case Damage::kTorn:
      return "torn";
    case Damage::kForeign:
      return "foreign";
  }
  return "?";
}

std::optional<Damage> classify(const CellImage& image, const CellPlace& place, std::uint64_t oldest,
                               std::uint64_t newest) {
  const std::uint64_t generation = image[kGenerationWord];
  const CellImage expected = make_cell(place, generation);
  const bool whole = image == expected;
  if (whole && generation >= oldest && generation <= newest) return std::nullopt;
  if (whole) return generation < oldest ? Damage::kStale : Damage::kForeign;
  if (is_zero(image)) return Damage::kZero;
  const bool ours = image[0] == expected[0] && image[1] == expected[1];
  if (image[kChecksumWord] == checksum(image)) return Damage::kForeign;
  // Our place with a wrong rest is a mix; so is a cell of which only a part went missing.
  const bool some_part_ours = ours || image[kGenerationWord + 1] == expected[kGenerationWord + 1];
  if (some_part_ours || std::count(image.begin(), image.end(), 0U) > 0) return Damage::kTorn;
  return (image[0] & kMagicMask) == kMagic ? Damage::kTorn : Damage::kForeign;
}

std::optional<Damage> classify_in_flight(const CellImage& image, const CellPlace& place,
                                         std::uint64_t oldest, std::uint64_t newest) {
  if (!classify(image, place, oldest, newest)) return std::nullopt;
  if (is_zero(image)) return oldest == 0 ? std::nullopt : std::optional(Damage::kZero);
  const CellImage first = make_cell(place, oldest);
  if (oldest > 0 && (image[0] != first[0] || image[1] != first[1])) return Damage::kForeign;
  const std::uint64_t generation = image[kGenerationWord];
  if (generation < oldest) return Damage::kStale;
  if (generation > newest) return Damage::kForeign;
  // Generation 0 means "never written": its words are zero, and cannot be told from the cell's.
  if (oldest == 0) return std::nullopt;
  // The owner may lap a slow reader, so a word may be of any generation in between: compare with
  // all of them if they are few, else only the generation word counts.
  if (newest - oldest > kFewGenerations) return std::nullopt;
  for (std::size_t i = kFillBegin; i < kCellWords; ++i) {
    bool known = false;
    for (std::uint64_t g = oldest; g <= newest && !known; ++g)
      known = make_cell(place, g)[i] == image[i];
    if (!known) return Damage::kTorn;
  }
  return std::nullopt;
}

std::string describe(const CellImage& image, const CellPlace& place, std::uint64_t oldest,
                     std::uint64_t newest) {
  std::string text = fmt::format(
      "expected: region {}, owner {}, index {}, generation {}..{}\n"
      "found:    region {}, owner {}, index {}, generation {}, magic {}, checksum {}\n"
      "words:   ",
      place.region, place.owner, place.index, oldest, newest, image[1] >> 48,
      image[0] & ~kMagicMask, image[1] & 0xffff'ffffffffULL, image[kGenerationWord],
      (image[0] & kMagicMask) == kMagic ? "right" : "wrong",
      image[kChecksumWord] == checksum(image) ? "right" : "wrong");
  for (std::uint64_t word : image) text += fmt::format(" {:016x}", word);
  return text;
}

void store_cell(std::byte* at, const CellImage& image) {
  for (std::size_t i = 0; i < kCellWords; ++i)
    std::atomic_ref(word_at(at, i)).store(image[i], std::memory_order_release);
}

CellImage load_cell(const std::byte* at) {
  CellImage image{};
  // atomic_ref wants a mutable object even for a load.
  auto* bytes = const_cast<std::byte*>(at);  // NOLINT(cppcoreguidelines-pro-type-const-cast)
  for (std::size_t i = 0; i < kCellWords; ++i)
    image[i] = std::atomic_ref(word_at(bytes, i)).load(std::memory_order_acquire);
  return image;
}

void publish_next(std::byte* at, const CellPlace& place, Published& book) {
  const std::uint64_t next = book.intended.load(std::memory_order_relaxed) + 1;
  book.intended.store(next, std::memory_order_seq_cst);
  store_cell(at, make_cell(place, next));
  book.published.store(next, std::memory_order_seq_cst);
}

CellReading read_cell(const std::byte* at, const CellPlace& place, const Published& book) {
  CellReading reading;
  // Published is read before the bytes and intended after them: what was published by then must
  // be there, and nothing newer than what was announced can be.
  reading.oldest = book.published.load(std::memory_order_seq_cst);
  reading.image = load_cell(at);
  reading.newest = book.intended.load(std::memory_order_seq_cst);
  if (reading.newest == 0) return reading;  // nobody wrote it yet
  reading.damage = reading.oldest == reading.newest
                       ? classify(reading.image, place, reading.oldest, reading.newest)
                       : classify_in_flight(reading.image, place, reading.oldest, reading.newest);
  return reading;
}

CellReading read_own_cell(const std::byte* at, const CellPlace& place, const Published& book) {
  CellReading reading;
  reading.oldest = book.published.load(std::memory_order_relaxed);
  reading.newest = reading.oldest;
  reading.image = load_cell(at);
  if (reading.oldest == 0) return reading;
  reading.damage = classify(reading.image, place, reading.oldest, reading.newest);
  return reading;
}

}  // namespace mmquake
