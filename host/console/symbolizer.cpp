// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/console/symbolizer.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "host/console/debug_info.h"
#include "host/console/printk_line.h"

namespace mmquake {
namespace {

// A guest may fill its console with frames; that many places are looked up, the rest stays raw.
constexpr std::size_t kMaxPlaces = 4096;
constexpr std::size_t kMaxIndent = 80;

// One function that runs at an address: inlined ones first, the real one last (without a name).
struct Place {
  std::string function;
  std::string location;  // "mm/gup.c:123"
  bool operator==(const Place&) const = default;
};
using Places = std::vector<Place>;
const Places kUnknown;

std::optional<Dwarf_Word> number_of(Dwarf_Die* die, unsigned name) {
  Dwarf_Attribute attribute;
  Dwarf_Word value = 0;
  if (dwarf_attr(die, name, &attribute) == nullptr || dwarf_formudata(&attribute, &value) != 0) {
    return std::nullopt;
  }
  return value;
}

}  // namespace

struct Symbolizer::Impl {
  std::unique_ptr<DebugInfo> info;
  std::unordered_map<std::uint64_t, Places> cache;

  Places places_of(const FunctionRef& ref, bool return_address);
  const Places& places_at(std::uint64_t pc);
  Places look_up(std::uint64_t pc);
  std::string location(Dwarf_Die* unit, const char* file, long line) const;
  void add_line(std::string_view line, std::string& out);
};

std::string Symbolizer::Impl::location(Dwarf_Die* unit, const char* file, long line) const {
  if (file == nullptr || line <= 0) return {};
  return fmt::format("{}:{}", info->source_name(unit, file), line);
}

Places Symbolizer::Impl::look_up(std::uint64_t pc) {
  Dwarf_Die unit;
  if (!info->unit_of(pc, &unit)) return {};
  Dwarf_Line* row = dwarf_getsrc_die(&unit, pc);
  int line = 0;
  if (row == nullptr || dwarf_lineno(row, &line) != 0) return {};
  std::string here = location(&unit, dwarf_linesrc(row, nullptr, nullptr), line);
  Dwarf_Files* files = nullptr;
  std::size_t file_count = 0;
  std::vector<Dwarf_Die> inlines;
  if (dwarf_getsrcfiles(&unit, &files, &file_count) == 0) inlines = inlines_at(&unit, pc);
  Places places;
  for (auto inlined = inlines.rbegin(); inlined != inlines.rend(); ++inlined) {
    const char* name = dwarf_diename(&*inlined);
    places.push_back({name == nullptr ? "?" : name, here});
    const Dwarf_Word file = number_of(&*inlined, DW_AT_call_file).value_or(file_count);
    const auto call_line = static_cast<long>(number_of(&*inlined, DW_AT_call_line).value_or(0));
    here = file < file_count
               ? location(&unit, dwarf_filesrc(files, file, nullptr, nullptr), call_line)
               : std::string();
  }
  places.push_back({"", here});
  return places;
}

const Places& Symbolizer::Impl::places_at(std::uint64_t pc) {
  if (const auto known = cache.find(pc); known != cache.end()) return known->second;
  if (cache.size() >= kMaxPlaces) return kUnknown;
  return cache.emplace(pc, look_up(pc)).first->second;
}

Places Symbolizer::Impl::places_of(const FunctionRef& ref, bool return_address) {
  // A return address may already belong to the next line, or the next function.
  const std::uint64_t back = return_address && ref.offset > 0 ? 1 : 0;
  Places places;
  for (const std::uint64_t address : info->symbols().find(ref)) {
    const Places& here = places_at(address + ref.offset - back);
    if (!places.empty() && places != here) return {};  // namesakes of one size: no guessing
    places = here;
  }
  return places;
}

void Symbolizer::Impl::add_line(std::string_view line, std::string& out) {
  const auto ref = find_function(line);
  Places places;
  if (ref && !line.substr(ref->end).starts_with(" [")) {
    const std::string_view before = line.substr(0, ref->begin);
    const bool exact = before.find("RIP: ") != std::string_view::npos ||
                       before.find("WARNING: ") != std::string_view::npos ||
                       before.ends_with("idling at ");
    places = places_of(*ref, !exact);
  }
  if (places.empty() || places.back().location.empty()) {
    out += line;
    return;
  }
  for (std::size_t i = 0; i + 1 < places.size(); ++i) {
    out.append(std::min(ref->begin, kMaxIndent), ' ');
    out += fmt::format("{} ({}) [inline]\n", places[i].function,
                       places[i].location.empty() ? "?" : places[i].location);
  }
  out += line.substr(0, ref->end);
  out += fmt::format(" ({})", places.back().location);
  out += line.substr(ref->end);
}

Symbolizer::Symbolizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Symbolizer::~Symbolizer() = default;
Symbolizer::Symbolizer(Symbolizer&&) noexcept = default;
Symbolizer& Symbolizer::operator=(Symbolizer&&) noexcept = default;

Result<Symbolizer> Symbolizer::open(const std::filesystem::path& vmlinux) {
  auto info = DebugInfo::open(vmlinux);
  if (!info) return tl::make_unexpected(info.error());
  auto impl = std::make_unique<Impl>();
  impl->info = std::move(*info);
  return Symbolizer(std::move(impl));
}

std::string Symbolizer::symbolize(std::string_view text) const {
  std::string out;
  out.reserve(text.size() * 2);
  while (!text.empty()) {
    const std::size_t newline = text.find('\n');
    impl_->add_line(text.substr(0, newline), out);
    if (newline == std::string_view::npos) break;
    out += '\n';
    text.remove_prefix(newline + 1);
  }
  return out;
}

}  // namespace mmquake
