// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/kernel/fragment.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <optional>
#include <set>
#include <sstream>
#include <utility>

namespace mmquake::kernel {
namespace {

using Option = std::pair<std::string, std::string>;

constexpr std::string_view kNotSet = " is not set";
// Ends the line of an option that not every series has.
constexpr std::string_view kWhereItExists = "# where it exists";

bool is_name(std::string_view name) {
  return name.size() > 7 && name.starts_with("CONFIG_") &&
         name.find_first_not_of(
             "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") ==
             std::string_view::npos;
}

std::string_view without_trailing_blanks(std::string_view line) {
  while (line.ends_with(' ') || line.ends_with('\t') || line.ends_with('\r')) {
    line.remove_suffix(1);
  }
  return line;
}

// The option that a line sets; nullopt: none.
std::optional<Option> option_in(std::string_view line) {
  line = without_trailing_blanks(line);
  if (line.ends_with(kWhereItExists)) {
    line.remove_suffix(kWhereItExists.size());
    line = without_trailing_blanks(line);
  }
  if (line.starts_with("# ") && line.ends_with(kNotSet)) {
    const std::string_view name = line.substr(2, line.size() - 2 - kNotSet.size());
    return is_name(name) ? std::optional(Option(name, "n")) : std::nullopt;
  }
  const std::size_t equals = line.find('=');
  if (equals == std::string_view::npos || !is_name(line.substr(0, equals))) return std::nullopt;
  return Option(line.substr(0, equals), line.substr(equals + 1));
}

bool is_blank_or_comment(std::string_view line) {
  const std::size_t first = line.find_first_not_of(" \t\r");
  return first == std::string_view::npos || line[first] == '#';
}

// The options that a kernel may lack altogether.
std::set<std::string> optional_ones(const std::vector<Fragment>& fragments) {
  std::set<std::string> out;
  for (const Fragment& fragment : fragments) {
    std::istringstream lines(fragment.text);
    for (std::string line; std::getline(lines, line);) {
      const auto option = option_in(line);
      if (option && without_trailing_blanks(line).ends_with(kWhereItExists)) {
        out.insert(option->first);
      }
    }
  }
  return out;
}

// How .config has an option that it has not as wanted.
std::string as_it_is(const std::map<std::string, std::string>& config, const std::string& name) {
  const auto found = config.find(name);
  // Not even "is not set": no such option here, or what it depends on is off.
  if (found == config.end()) return "is absent";
  return found->second == "n" ? "is not set" : "is " + found->second;
}

}  // namespace

Result<std::map<std::string, std::string>> wanted_options(const std::vector<Fragment>& fragments) {
  std::map<std::string, std::string> wanted;
  for (const Fragment& fragment : fragments) {
    std::istringstream lines(fragment.text);
    int number = 0;
    for (std::string line; std::getline(lines, line);) {
      ++number;
      if (const auto option = option_in(line)) {
        wanted[option->first] = option->second;
      } else if (!is_blank_or_comment(line)) {
        return usage(fmt::format("{}:{}: '{}' is neither CONFIG_NAME=value nor a comment",
                                 fragment.file.string(), number, line));
      }
    }
  }
  return wanted;
}

Result<std::string> merge(std::string_view config, const std::vector<Fragment>& fragments) {
  auto wanted = wanted_options(fragments);
  if (!wanted) return tl::make_unexpected(wanted.error());
  std::string merged;
  std::istringstream lines{std::string(config)};
  for (std::string line; std::getline(lines, line);) {
    // Two lines for one option would be a warning each.
    const auto option = option_in(line);
    if (!option || !wanted->contains(option->first)) merged += line + '\n';
  }
  for (const auto& [name, value] : *wanted) {
    merged +=
        value == "n" ? fmt::format("# {}{}\n", name, kNotSet) : fmt::format("{}={}\n", name, value);
  }
  return merged;
}

Result<> check_options(const std::vector<Fragment>& fragments, std::string_view config) {
  auto wanted = wanted_options(fragments);
  if (!wanted) return tl::make_unexpected(wanted.error());
  std::map<std::string, std::string> is;
  std::istringstream lines{std::string(config)};
  for (std::string line; std::getline(lines, line);) {
    if (auto option = option_in(line)) is.insert(std::move(*option));
  }
  const std::set<std::string> optional = optional_ones(fragments);
  std::vector<std::string> lost;
  for (const auto& [name, value] : *wanted) {
    const auto found = is.find(name);
    if (found == is.end() && optional.contains(name)) continue;
    const std::string now = found == is.end() ? "n" : found->second;
    if (now != value) lost.push_back(fmt::format("{}={} ({})", name, value, as_it_is(is, name)));
  }
  if (lost.empty()) return {};
  std::vector<std::string> files;
  files.reserve(fragments.size());
  for (const Fragment& fragment : fragments) files.push_back(fragment.file.filename().string());
  return skipped(
      fmt::format("the kernel's configuration did not keep {} of {}: {}; put what they depend on "
                  "into the fragment, or take them out",
                  lost.size() == 1 ? "an option" : fmt::format("{} options", lost.size()),
                  fmt::join(files, ", "), fmt::join(lost, ", ")));
}

}  // namespace mmquake::kernel
