// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/plan/config_file.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <utility>

#include "host/plan/nearest.h"

namespace mmquake {
namespace {

// Configuration is written by hand: more is a mistake, and toml++ would read all of it.
constexpr std::uintmax_t kMaxBytes = 1 << 20;
constexpr std::size_t kMaxComplaints = 20;

std::string type_name(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "an array";
    case toml::node_type::string:
      return "a string";
    case toml::node_type::integer:
      return "an integer";
    case toml::node_type::floating_point:
      return "a number";
    case toml::node_type::boolean:
      return "true or false";
    default:
      return "a date or time";
  }
}

bool is_one_line(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7f;
  });
}

}  // namespace

Result<std::unique_ptr<ConfigFile>> ConfigFile::read(const std::filesystem::path& path) {
  std::error_code failed;
  const std::uintmax_t bytes = std::filesystem::file_size(path, failed);
  const std::string name = printable(path.string());
  if (failed) return usage(fmt::format("cannot read {}: {}", name, failed.message()));
  if (bytes > kMaxBytes) {
    return usage(fmt::format("{} has {} bytes; a configuration file has at most {}", name, bytes,
                             kMaxBytes));
  }
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  std::stringstream content;
  content << in.rdbuf();
  if (!in) return usage(fmt::format("cannot read {}: {}", name, std::strerror(errno)));
  std::unique_ptr<ConfigFile> file(new ConfigFile(path));
  try {
    file->table_ = toml::parse(content.str());
  } catch (const toml::parse_error& error) {
    const toml::source_position at = error.source().begin;
    return usage(fmt::format("{}:{}:{}: not TOML: {}", name, at.line, at.column,
                             printable(error.description())));
  }
  return file;
}

void ConfigFile::complain(const std::string& subject, const toml::source_region& where,
                          const std::string& message) {
  if (!subjects_.insert(subject).second) return;
  // An empty file has no position at all.
  const std::uint32_t line = std::max<std::uint32_t>(1, where.begin.line);
  const std::uint32_t column = std::max<std::uint32_t>(1, where.begin.column);
  // Keys and values of the file are in the message, and a TOML string may hold any character.
  complaints_.push_back(
      fmt::format("{}:{}:{}: {}", printable(path_.string()), line, column, printable(message)));
}

Result<> ConfigFile::result() const {
  if (complaints_.empty()) return {};
  const std::size_t shown = std::min(complaints_.size(), kMaxComplaints);
  std::string text =
      fmt::format("{}", fmt::join(complaints_.begin(), complaints_.begin() + shown, "\n"));
  if (shown < complaints_.size())
    text += fmt::format("\n... and {} more", complaints_.size() - shown);
  return usage(std::move(text));
}

ConfigTable::ConfigTable(ConfigFile& file, const toml::table& table, std::string name)
    : file_(&file), table_(&table), name_(std::move(name)) {}

std::string ConfigTable::path(std::string_view key) const {
  return name_.empty() ? std::string(key) : fmt::format("{}.{}", name_, key);
}

void ConfigTable::complain_at(std::string_view key, const toml::node& node,
                              const std::string& message) {
  file_->complain(path(key), node.source(), message);
}

void ConfigTable::complain(std::string_view key, const std::string& what) {
  const toml::node* node = table_->get(key);
  complain_at(key, node == nullptr ? *table_ : *node, fmt::format("'{}' {}", path(key), what));
}

void ConfigTable::complain_element(std::string_view key, std::size_t index,
                                   const std::string& what) {
  const toml::array* array = table_->get(key)->as_array();
  complain_at(key, *array->get(index), fmt::format("'{}' {}", path(key), what));
}

void ConfigTable::allow(std::initializer_list<std::string_view> keys) {
  const std::vector<std::string> known(keys.begin(), keys.end());
  for (const auto& [key, value] : *table_) {
    if (std::find(known.begin(), known.end(), key.str()) != known.end()) continue;
    file_->complain(path(key.str()), key.source(),
                    fmt::format("unknown key '{}'{}", path(key.str()), suggestion(key, known)));
  }
}

const toml::node* ConfigTable::require(std::string_view key) {
  const toml::node* node = table_->get(key);
  if (node == nullptr) complain(key, "is missing");
  return node;
}

std::string ConfigTable::text_or(std::string_view key, std::string fallback) {
  const toml::node* node = table_->get(key);
  if (node == nullptr) return fallback;
  const auto* value = node->as_string();
  if (value == nullptr) {
    complain(key, "must be a string, not " + type_name(*node));
    return fallback;
  }
  if (!is_one_line(value->get())) complain(key, "must be one line without control characters");
  return value->get();
}

bool ConfigTable::boolean(std::string_view key) {
  const toml::node* node = require(key);
  if (node == nullptr) return false;
  if (!node->is_boolean()) complain(key, "must be true or false, not " + type_name(*node));
  return node->value<bool>().value_or(false);
}

std::string ConfigTable::text(std::string_view key) {
  if (require(key) == nullptr) return {};
  std::string out = text_or(key, "");
  if (out.empty()) complain(key, "must be a string that is not empty");
  return out;
}

std::vector<std::string> ConfigTable::texts(std::string_view key) {
  const toml::node* node = table_->get(key);
  if (node == nullptr) return {};
  const toml::array* array = node->as_array();
  if (array == nullptr) {
    complain(key, "must be an array of strings, not " + type_name(*node));
    return {};
  }
  std::vector<std::string> out;
  for (std::size_t i = 0; i < array->size(); ++i) {
    const auto* value = array->get(i)->as_string();
    if (value == nullptr || value->get().empty() || !is_one_line(value->get())) {
      complain_element(key, i, "must hold strings that are one line and not empty");
      return {};
    }
    out.push_back(value->get());
  }
  return out;
}

std::vector<std::string> ConfigTable::names(std::string_view key) {
  std::vector<std::string> out = texts(key);
  for (std::size_t i = 1; i < out.size(); ++i) {
    const auto at = out.begin() + static_cast<std::ptrdiff_t>(i);
    if (std::find(out.begin(), at, *at) == at) continue;
    complain_element(key, i, fmt::format("names '{}' twice", *at));
    return {};
  }
  return out;
}

std::int64_t ConfigTable::integer(std::string_view key, std::int64_t min, std::int64_t max) {
  const toml::node* node = require(key);
  if (node == nullptr) return min;
  const auto* value = node->as_integer();
  if (value == nullptr) {
    complain(key,
             fmt::format("must be an integer from {} to {}, not {}", min, max, type_name(*node)));
    return min;
  }
  if (value->get() < min || value->get() > max) {
    complain(key, fmt::format("is {}; it must be from {} to {}", value->get(), min, max));
    return min;
  }
  return value->get();
}

double ConfigTable::number(std::string_view key, double min, double max) {
  const toml::node* node = require(key);
  if (node == nullptr) return min;
  if (!node->is_number()) {
    complain(key,
             fmt::format("must be a number from {} to {}, not {}", min, max, type_name(*node)));
    return min;
  }
  // value<double>() refuses an integer that a double only comes near to.
  const double value = node->is_integer() ? static_cast<double>(node->as_integer()->get())
                                          : node->as_floating_point()->get();
  if (!(value >= min && value <= max)) {
    complain(key, fmt::format("is {}; it must be from {} to {}", value, min, max));
    return min;
  }
  return value;
}

std::optional<ConfigTable> ConfigTable::table(std::string_view key) {
  const toml::node* node = require(key);
  if (node == nullptr) return std::nullopt;
  const toml::table* found = node->as_table();
  if (found == nullptr) {
    complain(key, fmt::format("must be a table: [{}]", path(key)));
    return std::nullopt;
  }
  return ConfigTable(*file_, *found, path(key));
}

std::vector<ConfigTable> ConfigTable::tables(std::string_view key) {
  const toml::node* node = table_->get(key);
  if (node == nullptr) return {};
  const toml::array* array = node->as_array();
  std::vector<ConfigTable> out;
  for (std::size_t i = 0; array != nullptr && i < array->size(); ++i) {
    const toml::table* one = array->get(i)->as_table();
    if (one == nullptr) {
      array = nullptr;
      break;
    }
    out.emplace_back(*file_, *one, fmt::format("{}[{}]", path(key), i));
  }
  if (array == nullptr) {
    complain(key, fmt::format("must be an array of tables: [[{}]]", path(key)));
    return {};
  }
  return out;
}

}  // namespace mmquake
