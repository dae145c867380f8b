// SPDX-License-Identifier: GPL-2.0-or-later
//
// Sequence-stamped cells: bytes from which anyone can tell whose they are, where they belong and
// how old they are. What must be there (the published generation) is kept elsewhere.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mmquake {

// Where a cell belongs. Two cells with the same place are the same cell.
struct CellPlace {
  std::uint32_t region = 0;
  std::uint32_t owner = 0;  // the writer that alone may change it
  std::uint64_t index = 0;  // of the cell in its region; below 2^48

  bool operator==(const CellPlace&) const = default;
};

inline constexpr std::size_t kCellWords = 8;
inline constexpr std::size_t kCellBytes = kCellWords * sizeof(std::uint64_t);

// A copy of a cell's bytes: magic and owner, place, generation, four words that depend on all of
// these, checksum.
using CellImage = std::array<std::uint64_t, kCellWords>;

CellImage make_cell(const CellPlace& place, std::uint64_t generation);

// How a cell is wrong.
enum class Damage {
  kZero,     // all bytes are zero: a fresh page took its place
  kStale,    // an older generation of this cell: a write was lost, or an old page came back
  kTorn,     // parts of two generations, or bytes that contradict each other
  kForeign,  // a cell of another place, or of nobody
};
std::string_view to_string(Damage damage);

// Judges a cell that must hold a generation in [oldest, newest]. nullopt: it does.
std::optional<Damage> classify(const CellImage& image, const CellPlace& place, std::uint64_t oldest,
                               std::uint64_t newest);

// Judges a cell that was read while its owner may have been writing: of each word only, that it
// is of a generation in [oldest, newest]. Weaker than classify(): it never says kTorn for a mix
// of allowed generations.
std::optional<Damage> classify_in_flight(const CellImage& image, const CellPlace& place,
                                         std::uint64_t oldest, std::uint64_t newest);

// For evidence: "owner 3, region 1, index 17, generation 42, checksum ok; expected ...".
std::string describe(const CellImage& image, const CellPlace& place, std::uint64_t oldest,
                     std::uint64_t newest);

// The published and the intended generation of one cell, in memory that all processes share and
// that is not the memory under test. Equal while no write is under way.
struct Published {
  std::atomic<std::uint64_t> intended{0};
  std::atomic<std::uint64_t> published{0};
};

// Word-wise atomic access to a cell's memory, so that a racing read is defined.
void store_cell(std::byte* at, const CellImage& image);
CellImage load_cell(const std::byte* at);

// The owner's next generation: announce, write, publish. The caller is the only owner.
void publish_next(std::byte* at, const CellPlace& place, Published& book);

// What a read found. `damage` is set if neither the published generation nor a newer one is there.
struct CellReading {
  std::optional<Damage> damage;
  CellImage image{};
  std::uint64_t oldest = 0, newest = 0;
};

// A third party's read, which may race with the owner.
CellReading read_cell(const std::byte* at, const CellPlace& place, const Published& book);

// The owner's read of its own cell: it must hold exactly what was published.
CellReading read_own_cell(const std::byte* at, const CellPlace& place, const Published& book);

}  // namespace mmquake
