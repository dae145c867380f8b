// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/image/selftests.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <sstream>
#include <system_error>

#include "host/image/program_files.h"
#include "host/plan/nearest.h"

namespace mmquake {
namespace {

namespace fs = std::filesystem;

constexpr const char* kList = "kselftest-list.txt";
constexpr int kDefaultTimeout = 45;  // kselftest's
constexpr int kLongestTimeout = 86400;

Result<std::string> read_text_of(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  if (!in.is_open() || in.bad()) return usage(fmt::format("cannot read '{}'", path.string()));
  return text;
}

std::string trimmed(const std::string& text) {
  const std::size_t first = text.find_first_not_of(" \t\r");
  if (first == std::string::npos) return "";
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

// Stays inside of the folder that it is relative to.
bool is_inside(const fs::path& path) {
  return !path.empty() && path.is_relative() &&
         std::none_of(path.begin(), path.end(), [](const fs::path& part) { return part == ".."; });
}

Result<int> timeout_of(const fs::path& folder) {
  const fs::path settings = folder / "settings";
  std::error_code error;
  if (!fs::exists(settings, error)) return kDefaultTimeout;
  auto text = read_text_of(settings);
  if (!text) return tl::make_unexpected(text.error());
  auto timeout = timeout_in(*text);
  return timeout ? timeout : context("'" + settings.string() + "'", timeout.error());
}

bool is_test(const fs::directory_entry& entry) {
  std::error_code error;
  const fs::file_status status = entry.status(error);
  if (error || !fs::is_regular_file(status) || entry.path().extension() == ".so" ||
      (status.permissions() & fs::perms::owner_exec) == fs::perms::none) {
    return false;
  }
  std::ifstream in(entry.path(), std::ios::binary);
  std::string first(2, '\0');
  in.read(first.data(), 2);
  return (in && first == "#!") || loader_of(entry.path());
}

// By name.
Result<std::vector<Selftest>> tests_in_folder(const fs::path& folder,
                                              const std::string& collection) {
  auto timeout = timeout_of(folder);
  if (!timeout) return tl::make_unexpected(timeout.error());
  std::vector<Selftest> out;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    if (!is_test(*at)) continue;
    out.push_back({collection, at->path().filename(), at->path(), *timeout});
  }
  if (error) return usage(fmt::format("'{}': {}", folder.string(), error.message()));
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return out;
}

Result<Selftest> test_in_line(const fs::path& directory, const std::string& line) {
  const std::size_t colon = line.find(':');
  Selftest test;
  test.collection = line.substr(0, colon);
  test.name = colon == std::string::npos ? "" : line.substr(colon + 1);
  if (!is_inside(test.collection) || !is_inside(test.name)) {
    return usage(
        fmt::format("'{}' is no COLLECTION:TEST: make the list anew with make -C "
                    "tools/testing/selftests install",
                    printable(line)));
  }
  test.file = directory / test.collection / test.name;
  return test;
}

Result<std::vector<Selftest>> tests_in_list(const fs::path& directory, const std::string& text) {
  std::vector<Selftest> out;
  std::map<std::string, std::vector<Selftest>> beside;  // by collection
  std::map<std::string, int> timeouts;
  std::set<std::string> known;
  std::istringstream lines(text);
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    line = trimmed(line);
    if (line.empty() || line.starts_with('#')) continue;
    auto test = test_in_line(directory, line);
    if (!test) {
      return context(fmt::format("'{}' line {}", (directory / kList).string(), number),
                     test.error());
    }
    if (!known.insert(test->id()).second) continue;
    if (!timeouts.contains(test->collection)) {
      const fs::path folder = directory / test->collection;
      auto timeout = timeout_of(folder);
      if (!timeout) return tl::make_unexpected(timeout.error());
      timeouts[test->collection] = *timeout;
      // A folder that is missing is what its tests lack.
      if (auto found = tests_in_folder(folder, test->collection)) {
        beside[test->collection] = std::move(*found);
      }
    }
    test->timeout_seconds = timeouts[test->collection];
    out.push_back(std::move(*test));
  }
  for (auto& [collection, programs] : beside) {
    for (Selftest& program : programs) {
      if (!known.insert(program.id()).second) continue;
      program.listed = false;
      out.push_back(std::move(program));
    }
  }
  return out;
}

}  // namespace

Result<int> timeout_in(const std::string& settings) {
  int timeout = kDefaultTimeout;
  std::istringstream lines(settings);
  std::string line;
  while (std::getline(lines, line)) {
    line = trimmed(line);
    if (!line.starts_with("timeout=")) continue;
    const std::string value = trimmed(line.substr(line.find('=') + 1));
    const char* const end = value.data() + value.size();
    const auto [stop, error] = std::from_chars(value.data(), end, timeout);
    if (error != std::errc() || stop != end || timeout < 0 || timeout > kLongestTimeout) {
      return usage(fmt::format("the timeout is '{}'; it may be 0 (none) to {} seconds",
                               printable(value), kLongestTimeout));
    }
  }
  return timeout;
}

Result<std::vector<Selftest>> list_selftests(const fs::path& directory) {
  // Without "." and a '/' at its end, which would hide its name.
  fs::path root = fs::absolute(directory).lexically_normal();
  if (root.filename().empty()) root = root.parent_path();
  std::error_code error;
  if (!fs::is_directory(root, error)) {
    return usage(
        fmt::format("--kselftest '{}' is no folder: give what make -C "
                    "tools/testing/selftests TARGETS=mm install INSTALL_PATH=DIR leaves",
                    directory.string()));
  }
  Result<std::vector<Selftest>> tests;
  if (fs::exists(root / kList, error)) {
    auto text = read_text_of(root / kList);
    if (!text) return tl::make_unexpected(text.error());
    tests = tests_in_list(root, *text);
  } else {
    tests = tests_in_folder(root, root.filename());
  }
  if (tests && tests->empty()) {
    return usage(
        fmt::format("'{}' has neither a {} with tests nor a program that may be executed: was it "
                    "built? (make -C tools/testing/selftests TARGETS=mm install INSTALL_PATH=DIR)",
                    root.string(), kList));
  }
  return tests;
}

Result<std::vector<Selftest>> choose_selftests(const std::vector<Selftest>& all,
                                               const std::vector<std::string>& patterns) {
  std::vector<bool> chosen(all.size());
  if (patterns.empty()) {
    std::transform(all.begin(), all.end(), chosen.begin(),
                   [](const Selftest& test) { return test.listed; });
  }
  std::vector<std::string> known;
  known.reserve(all.size());
  for (const Selftest& test : all) known.push_back(test.id());
  for (const std::string& pattern : patterns) {
    const bool with_collection = pattern.find(':') != std::string::npos;
    bool any = false;
    for (std::size_t i = 0; i < all.size(); ++i) {
      const std::string& name = with_collection ? known[i] : all[i].name;
      if (fnmatch(pattern.c_str(), name.c_str(), 0) != 0) continue;
      any = true;
      chosen[i] = true;
    }
    if (!any) {
      return usage(fmt::format("--test '{}' names no test of the collection{}", printable(pattern),
                               suggestion(pattern, known)));
    }
  }
  std::vector<Selftest> out;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (chosen[i]) out.push_back(all[i]);
  }
  return out;
}

}  // namespace mmquake
