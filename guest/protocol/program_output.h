// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a program prints on its way to the host: in pieces, each of them a note. A full channel
// drops notes, so the pieces are numbered.
#pragma once

#include <fmt/format.h>

#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mmquake {

// A note may hold this, and what replaces bytes that are no UTF-8, too.
inline constexpr std::size_t kMaxOutputPiece = std::size_t{16} * 1024;
inline constexpr std::string_view kOutputMark = "output ";

struct OutputPiece {
  std::uint64_t number = 0;  // from 0 on, one after the other
  std::string_view text;
};

// The text of the note.
inline std::string output_note(const OutputPiece& piece) {
  return fmt::format("{}{}\n{}", kOutputMark, piece.number, piece.text);
}

// Of a note's text, into which it points; nullopt: it is another note.
inline std::optional<OutputPiece> output_piece(std::string_view note) {
  if (!note.starts_with(kOutputMark)) {
    return std::nullopt;
  }
  OutputPiece piece;
  const char* const end = note.data() + note.size();
  const auto [stop, error] = std::from_chars(note.data() + kOutputMark.size(), end, piece.number);
  if (error != std::errc() || stop == end || *stop != '\n') {
    return std::nullopt;
  }
  piece.text = note.substr(static_cast<std::size_t>(stop - note.data()) + 1);
  return piece;
}

}  // namespace mmquake
