// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/memory/kernel_quirks.h"

#include <sys/utsname.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>

#include "guest/memory/text_file.h"

namespace mmquake {
namespace {

using Version = std::pair<std::uint64_t, std::uint64_t>;

// Of "6.1.0-50-amd64": {6, 1}; nullopt if it is no such text.
std::optional<Version> version_of(std::string_view release) {
  const std::size_t dot = std::min(release.find('.'), release.size());
  const auto major = to_number(release.substr(0, dot));
  std::string_view rest = release.substr(std::min(dot + 1, release.size()));
  rest = rest.substr(0, rest.find_first_not_of("0123456789"));
  const auto minor = to_number(rest);
  return major && minor ? std::optional(Version(*major, *minor)) : std::nullopt;
}

}  // namespace

std::string kernel_release() {
  utsname kernel{};
  uname(&kernel);
  return &kernel.release[0];
}

bool threads_keep_counts(std::string_view release) {
  const auto version = version_of(release);
  return !version || *version < Version(6, 2);
}

bool smaps_misses_hinting_pmds(std::string_view release) {
  const auto version = version_of(release);
  return !version || (*version >= Version(6, 1) && *version < Version(6, 5));
}

bool uffd_wp_misses_huge_files(std::string_view release) {
  const auto version = version_of(release);
  return !version || *version < Version(6, 5);
}

bool zone_start_moves_unlocked(std::string_view release) {
  const auto version = version_of(release);
  return !version || *version >= Version(5, 14);
}

bool hmm_deadlocks_in_hugetlb_holes(std::string_view release) {
  const auto version = version_of(release);
  return !version || *version >= Version(6, 3);
}

}  // namespace mmquake
