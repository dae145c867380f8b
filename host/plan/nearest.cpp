// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/plan/nearest.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

namespace mmquake {
namespace {

constexpr std::size_t kMaxSuggestions = 3;
constexpr std::size_t kMaxListed = 12;
// Longer input is cut: nobody mistypes a name into hundreds of letters.
constexpr std::size_t kMaxCompared = 128;

std::string lower(std::string_view text) {
  std::string out(text.substr(0, kMaxCompared));
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (c == '_') c = '-';
  }
  return out;
}

// Insertions, deletions, replacements and swaps of neighbours that make `a` into `b`.
std::size_t distance(const std::string& a, const std::string& b) {
  std::vector<std::vector<std::size_t>> d(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) d[i][0] = i;
  for (std::size_t j = 0; j <= b.size(); ++j) d[0][j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replace = d[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, replace});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
      }
    }
  }
  return d[a.size()][b.size()];
}

// Where a text can be cut without cutting a character.
std::size_t cut_before(std::string_view text, std::size_t bytes) {
  while (bytes > 0 && (static_cast<unsigned char>(text[bytes]) & 0xc0U) == 0x80) --bytes;
  return bytes;
}

std::string shown(std::string_view name) {
  if (name.size() <= kMaxCompared) return printable(name);
  return printable(name.substr(0, cut_before(name, kMaxCompared))) + "...";
}

}  // namespace

std::string printable(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const auto next = static_cast<unsigned char>(i + 1 < text.size() ? text[i + 1] : 0);
    if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else if (byte == 0xc2 && next >= 0x80 && next <= 0x9f) {
      // U+0080 to U+009F: a terminal takes them for control characters as well.
      out += fmt::format("\\xc2\\x{:02x}", next);
      ++i;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::vector<std::string> nearest(std::string_view name, const std::vector<std::string>& known) {
  const std::string wanted = lower(name);
  if (wanted.empty()) return {};
  std::vector<std::pair<std::size_t, std::string>> ranked;
  for (const std::string& candidate : known) {
    const std::string other = lower(candidate);
    std::size_t far = distance(wanted, other);
    const bool inside =
        wanted.size() >= 3 && other.size() >= 3 &&
        (other.find(wanted) != std::string::npos || wanted.find(other) != std::string::npos);
    const std::size_t limit = std::max<std::size_t>(1, std::max(wanted.size(), other.size()) / 3);
    if (far > limit && !inside) continue;
    if (far > limit) far = limit + 1;  // a part of a name comes after every typing slip
    ranked.emplace_back(far, candidate);
  }
  std::sort(ranked.begin(), ranked.end());
  std::vector<std::string> out;
  for (const auto& [far, candidate] : ranked) {
    if (out.size() == kMaxSuggestions) break;
    if (out.empty() || out.back() != candidate) out.push_back(candidate);
  }
  return out;
}

std::string suggestion(std::string_view name, const std::vector<std::string>& known) {
  const std::vector<std::string> near = nearest(name, known);
  if (!near.empty()) return fmt::format("; did you mean '{}'?", fmt::join(near, "' or '"));
  if (known.empty()) return "; there are none";
  if (known.size() > kMaxListed) return fmt::format("; there are {}", known.size());
  return fmt::format("; there are: {}", fmt::join(known, ", "));
}

Error unknown_name(std::string_view kind, std::string_view name,
                   const std::vector<std::string>& known) {
  const std::string_view where =
      kind == "command" ? "mmquake --help shows all" : "mmquake list shows all";
  return {ErrorKind::kUsage,
          fmt::format("unknown {} '{}'{} ({})", kind, shown(name), suggestion(name, known), where)};
}

}  // namespace mmquake
