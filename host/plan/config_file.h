// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <toml++/toml.h>

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "guest/protocol/result.h"

namespace mmquake {

class ConfigFile;

// One table of a configuration file. Getters check type and range and complain to the file, so
// that a reader asks for all its keys and looks once at the end. What a getter returns after a
// complaint is of no use, but in range.
class ConfigTable {
 public:
  ConfigTable(ConfigFile& file, const toml::table& table, std::string name);

  // Any other key is an error. Call before the getters: a mistyped key explains a missing one.
  void allow(std::initializer_list<std::string_view> keys);

  bool has(std::string_view key) const { return table_->contains(key); }
  // Required and not empty; one line.
  std::string text(std::string_view key);
  std::string text_or(std::string_view key, std::string fallback);
  // In order; empty when absent. Each is one line and not empty.
  std::vector<std::string> texts(std::string_view key);
  // The same, and no two are equal.
  std::vector<std::string> names(std::string_view key);
  std::int64_t integer(std::string_view key, std::int64_t min, std::int64_t max);
  double number(std::string_view key, double min, double max);
  bool boolean(std::string_view key);
  // Required.
  std::optional<ConfigTable> table(std::string_view key);
  // [[key]]; none when absent.
  std::vector<ConfigTable> tables(std::string_view key);

  const toml::table& raw() const { return *table_; }
  // "'KEY' WHAT" at the value of `key`, or at the table when there is no such key.
  void complain(std::string_view key, const std::string& what);
  // The same at element `index` of the array `key`.
  void complain_element(std::string_view key, std::size_t index, const std::string& what);
  // `message` about `key`, at `node`.
  void complain_at(std::string_view key, const toml::node& node, const std::string& message);

 private:
  const toml::node* require(std::string_view key);
  std::string path(std::string_view key) const;

  ConfigFile* file_;
  const toml::table* table_;
  std::string name_;
};

// A parsed TOML file. Errors read "FILE:LINE:COLUMN: what", one a line, kind usage.
class ConfigFile {
 public:
  static Result<std::unique_ptr<ConfigFile>> read(const std::filesystem::path& path);

  ConfigTable root() { return {*this, table_, ""}; }
  const std::filesystem::path& path() const { return path_; }
  // One complaint a `subject` (a key with its tables) is kept, the first: what follows from a
  // wrong value is no news.
  void complain(const std::string& subject, const toml::source_region& where,
                const std::string& message);
  // Everything that was complained about.
  Result<> result() const;

 private:
  explicit ConfigFile(std::filesystem::path path) : path_(std::move(path)) {}

  std::filesystem::path path_;
  toml::table table_;
  std::set<std::string> subjects_;
  std::vector<std::string> complaints_;
};

}  // namespace mmquake
