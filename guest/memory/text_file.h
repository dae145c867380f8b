// SPDX-License-Identifier: GPL-2.0-or-later
//
// Small text files of procfs and sysfs.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "guest/protocol/result.h"

namespace mmquake {

// The whole file. One open, reads until the end.
Result<std::string> read_text(const std::string& path);

// One write of the whole text, as sysfs and procfs want it.
Result<> write_text(const std::string& path, std::string_view text);

// Takes the next line off `rest` (without its newline); nullopt at the end.
std::optional<std::string_view> next_line(std::string_view& rest);
// Takes the next word, skipping blanks and tabs; empty at the end.
std::string_view next_word(std::string_view& rest);
// The number behind "NAME:" at the beginning of a line, as procfs has it; nullopt: there is none.
std::optional<std::uint64_t> number_of_field(std::string_view text, std::string_view name);
// The whole word as a number, else nullopt.
std::optional<std::uint64_t> to_number(std::string_view word, int base = 10);

}  // namespace mmquake
