// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/memory/text_file.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>

#include "guest/memory/mapping.h"

namespace mmquake {

Result<std::string> read_text(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return broken(fmt::format("read {}: {}", path, errno_text(errno)));
  std::string text;
  std::array<char, 16384> buffer{};
  for (;;) {
    const ssize_t got = read(fd.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return broken(fmt::format("read {}: {}", path, errno_text(errno)));
    if (got == 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(got));
  }
}

Result<> write_text(const std::string& path, std::string_view text) {
  UniqueFd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd) return broken(fmt::format("write '{}' to {}: {}", text, path, errno_text(errno)));
  ssize_t put = 0;
  do put = write(fd.get(), text.data(), text.size());
  while (put < 0 && errno == EINTR);
  if (put != static_cast<ssize_t>(text.size()))
    return broken(fmt::format("write '{}' to {}: {}", text, path,
                              put < 0 ? errno_text(errno) : std::string("short write")));
  return {};
}

std::optional<std::string_view> next_line(std::string_view& rest) {
  if (rest.empty()) return std::nullopt;
  const auto end = rest.find('\n');
  const std::string_view line = rest.substr(0, end);
  rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  return line;
}

std::string_view next_word(std::string_view& rest) {
  const auto begin = rest.find_first_not_of(" \t");
  if (begin == std::string_view::npos) {
    rest = {};
    return {};
  }
  rest.remove_prefix(begin);
  const auto end = std::min(rest.find_first_of(" \t"), rest.size());
  const std::string_view word = rest.substr(0, end);
  rest.remove_prefix(end);
  return word;
}

std::optional<std::uint64_t> number_of_field(std::string_view text, std::string_view name) {
  while (const auto line = next_line(text)) {
    std::string_view rest = *line;
    if (next_word(rest) == name) return to_number(next_word(rest));
  }
  return std::nullopt;
}

std::optional<std::uint64_t> to_number(std::string_view word, int base) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value, base);
  if (error != std::errc() || end != word.data() + word.size() || word.empty()) return std::nullopt;
  return value;
}

}  // namespace mmquake
