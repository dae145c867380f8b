// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/campaign/flattened_dump.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <string_view>
#include <system_error>
#include <vector>

namespace mmquake {
namespace {

namespace fs = std::filesystem;
constexpr std::string_view kFlattened = "makedumpfile";
constexpr std::string_view kInOrder = "KDUMP   ";
constexpr std::streamoff kHeader = 4096;
constexpr std::uint64_t kMaxFile = 1ULL << 44;  // no VM has so much

std::uint64_t big_endian(const std::uint8_t* bytes) {
  std::uint64_t value = 0;
  for (int i = 0; i < 8; ++i) value = value << 8 | bytes[i];
  return value;
}

// A piece of the stream; the last one has the place kEnd.
struct Piece {
  std::uint64_t place = 0, size = 0;
};
constexpr std::uint64_t kEnd = ~0ULL;

bool read_piece(std::istream& in, Piece& piece) {
  std::array<std::uint8_t, 16> bytes{};
  if (!in.read(reinterpret_cast<char*>(bytes.data()), bytes.size())) return false;
  piece = {big_endian(bytes.data()), big_endian(bytes.data() + 8)};
  return piece.place == kEnd || (piece.place <= kMaxFile && piece.size <= kMaxFile);
}

bool copy_bytes(std::istream& in, std::ostream& out, std::uint64_t size,
                std::vector<char>& buffer) {
  while (size > 0) {
    const auto part = static_cast<std::streamsize>(std::min<std::uint64_t>(size, buffer.size()));
    if (!in.read(buffer.data(), part)) return false;
    out.write(buffer.data(), part);
    size -= static_cast<std::uint64_t>(part);
  }
  return true;
}

}  // namespace

Result<std::uint64_t> unflatten(const fs::path& from, const fs::path& to) {
  std::ifstream in(from, std::ios::binary);
  std::array<char, 16> magic{};
  in.read(magic.data(), magic.size());
  const std::string_view start(magic.data(), static_cast<std::size_t>(in.gcount()));
  if (start.starts_with(kInOrder)) {
    std::error_code error;
    fs::rename(from, to, error);
    if (error) return broken(fmt::format("cannot write '{}': {}", to.string(), error.message()));
    return fs::file_size(to, error);
  }
  if (!start.starts_with(kFlattened)) {
    return broken(fmt::format("QEMU left no dump in '{}'", from.string()));
  }
  in.seekg(kHeader);
  std::ofstream out(to, std::ios::binary | std::ios::trunc);
  std::vector<char> buffer(std::size_t{1} << 20);
  std::uint64_t written = 0;
  Piece piece;
  bool whole = false;
  while (read_piece(in, piece)) {
    whole = piece.place == kEnd;
    if (whole) break;
    out.seekp(static_cast<std::streamoff>(piece.place));
    if (!copy_bytes(in, out, piece.size, buffer)) break;
    written += piece.size;
  }
  out.close();
  if (!out) return broken(fmt::format("cannot write '{}': is the disk full?", to.string()));
  if (!whole) return broken(fmt::format("the dump in '{}' is cut off", from.string()));
  return written;
}

}  // namespace mmquake
