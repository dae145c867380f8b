// SPDX-License-Identifier: GPL-2.0-or-later
//
// Whatever a guest prints: the parser neither crashes nor grows, titles are stable words, and the
// pieces in which the bytes come do not matter. The first two bytes choose where they are cut.
#include <algorithm>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "host/console/console.h"
#include "host/console/log_shapes.h"
#include "host/console/signature.h"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

bool is_word_char(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

// No number of 5 or more hex digits, no "0x": those change from boot to boot.
bool has_address(std::string_view title) {
  for (std::size_t at = 0; at < title.size();) {
    std::size_t end = at;
    while (end < title.size() && is_word_char(title[end])) ++end;
    const std::string_view word = title.substr(at, end - at);
    const bool digits = word.find_first_of("0123456789") != std::string_view::npos;
    if (word.starts_with("0x") ||
        (word.size() >= 5 && digits &&
         word.find_first_not_of("0123456789abcdefABCDEF") == std::string_view::npos)) {
      return true;
    }
    at = std::max(end, at + 1);
  }
  return false;
}

bool is_kind(std::string_view kind) {
  return !kind.empty() && std::all_of(kind.begin(), kind.end(),
                                      [](char c) { return (c >= 'a' && c <= 'z') || c == '-'; });
}

void check(const mmquake::ConsoleParser& parser, std::size_t size) {
  require(parser.reports().size() <= 64 && parser.tail().size() <= 8192);
  require(parser.bytes() == size);
  std::uint64_t last = 0;
  for (const mmquake::KernelReport& report : parser.reports()) {
    require(is_kind(report.kind) && !report.title.empty() && report.title.size() <= 512);
    require(std::all_of(report.title.begin(), report.title.end(),
                        [](char c) { return c >= 0x20 && c < 0x7f; }));
    require(!has_address(report.title));
    require(report.log.size() <= 16384 && report.offset >= last && report.offset < size);
    last = report.offset;
    const std::string own = mmquake::signature_of(report.kind, report.title, report.log);
    require(own.size() <= 512 && own.starts_with(report.kind) && !has_address(own));
    require(std::all_of(own.begin(), own.end(), [](char c) { return c >= 0x20 && c < 0x7f; }));
  }
}

// An oracle's finding: kind, title and stack are whatever the guest sent.
void check_signature(std::string_view text) {
  const std::string_view title = text.substr(0, text.find('\n'));
  const std::string own = mmquake::signature_of("hang", title, text);
  require(own.size() <= 512);
  require(std::all_of(own.begin(), own.end(), [](char c) { return c >= 0x20 && c < 0x7f; }));
}

void check_shapes(std::string_view text) {
  mmquake::LogShapes own;
  own.feed(text);
  require(own.shapes().size() <= mmquake::LogShapes::kMost);
  for (const std::string& shape : own.shapes()) {
    require(!shape.empty() && shape.size() <= mmquake::LogShapes::kLength);
    require(std::all_of(shape.begin(), shape.end(), [](char c) { return c >= 0x20 && c < 0x7f; }));
  }
}

void check_escape(std::string_view text) {
  const std::string escaped = mmquake::escape_for_terminal(text);
  require(escaped.size() <= 4 * text.size());
  require(std::all_of(escaped.begin(), escaped.end(), [](char c) {
    return static_cast<unsigned char>(c) >= 0x20 ? c != 0x7f : c == '\n' || c == '\t';
  }));
  require(mmquake::escape_for_terminal(escaped) == escaped);
}

}  // namespace

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's name
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 2, size - 2);
  mmquake::ConsoleParser whole, pieces;
  whole.feed(input);
  whole.finish();
  check(whole, input.size());
  const std::size_t cut = input.empty() ? 0 : (data[0] * 256U + data[1]) % input.size();
  pieces.feed(input.substr(0, cut));
  pieces.feed(input.substr(cut));
  pieces.finish();
  require(pieces.reports().size() == whole.reports().size());
  for (std::size_t i = 0; i < whole.reports().size(); ++i) {
    const auto& a = whole.reports()[i];
    const auto& b = pieces.reports()[i];
    require(a.kind == b.kind && a.title == b.title && a.log == b.log && a.offset == b.offset);
  }
  require(pieces.panicked() == whole.panicked() && pieces.tail() == whole.tail() &&
          pieces.dropped_reports() == whole.dropped_reports());
  check_escape(input.substr(0, 512));
  check_signature(input);
  check_shapes(input);
  return 0;
}
