// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "host/plan/config_file.h"
#include "host/plan/nearest.h"
#include "host/plan/specs.h"

namespace mmquake {
namespace {

// As on the command line.
constexpr double kMinSeconds = 1;
constexpr double kMaxSeconds = 86400;
// What guest/widener/control.c takes: WIDENER_MAX_SITES, WIDENER_MAX_US, and a probability in
// millionths.
constexpr std::int64_t kMaxDelayUs = 10'000'000;
constexpr double kMinProbability = 1e-6;
constexpr std::size_t kMaxCommBytes = 15;  // TASK_COMM_LEN without its NUL

// What oracles say, then what the kernel's log does (host/console).
constexpr std::array<std::string_view, 20> kFindingKinds = {
    "hang",        "corruption",  "misplacement", "leak",    "kernel-bug", "warning",   "oops",
    "kasan",       "kfence",      "kmsan",        "kcsan",   "ubsan",      "hung-task", "rcu-stall",
    "soft-lockup", "hard-lockup", "atomic-sleep", "lockdep", "panic",      "failure"};

double read_seconds(ConfigTable& table, double fallback) {
  return table.has("seconds") ? table.number("seconds", kMinSeconds, kMaxSeconds) : fallback;
}

constexpr std::string_view kSymbolLetters =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.";

// symbol or symbol+0xOFFSET
bool is_place(std::string_view text) {
  const std::size_t plus = text.find('+');
  const std::string_view symbol = text.substr(0, plus);
  if (symbol.empty() || symbol.find_first_not_of(kSymbolLetters) != std::string_view::npos)
    return false;
  if (plus == std::string_view::npos) return true;
  const std::string_view offset = text.substr(plus + 1);
  return offset.size() > 2 && offset.size() <= 10 && offset.substr(0, 2) == "0x" &&
         offset.find_first_not_of("0123456789abcdefABCDEF", 2) == std::string_view::npos;
}

// Kernels name one place differently: "folio_mc_copy|folio_copy" is the first that there is.
bool is_site(std::string_view text) {
  for (;;) {
    const std::size_t bar = text.find('|');
    if (!is_place(text.substr(0, bar))) return false;
    if (bar == std::string_view::npos) return true;
    text.remove_prefix(bar + 1);
  }
}

WidenSite read_widen(ConfigTable& table) {
  table.allow({"site", "min_us", "max_us", "probability", "comm", "mode"});
  WidenSite site;
  site.site = table.text("site");
  if (table.has("min_us")) {
    site.min_us = static_cast<std::uint64_t>(table.integer("min_us", 0, kMaxDelayUs));
  }
  site.max_us = static_cast<std::uint64_t>(table.integer("max_us", 1, kMaxDelayUs));
  if (table.has("probability")) site.probability = table.number("probability", kMinProbability, 1);
  if (table.has("comm")) site.comm = table.text("comm");
  site.mode = table.text_or("mode", "auto");
  if (const auto fault = find_fault(site)) table.complain(fault->field, fault->what);
  return site;
}

void read_widens(ConfigTable& root, CaseSpec& spec) {
  for (ConfigTable& table : root.tables("widen")) spec.widen.push_back(read_widen(table));
  if (spec.widen.size() > kMaxWidenSites) {
    root.complain("widen", fmt::format("tables are {}; the widener has room for {}",
                                       spec.widen.size(), kMaxWidenSites));
  }
}

void read_expectation(ConfigTable& table, CaseSpec& spec) {
  table.allow({"kinds", "titles"});
  spec.expect_kinds = table.names("kinds");
  for (std::size_t i = 0; i < spec.expect_kinds.size(); ++i) {
    const std::string& kind = spec.expect_kinds[i];
    if (is_finding_kind(kind)) continue;
    table.complain_element(
        "kinds", i,
        fmt::format("holds the unknown kind '{}'{}", kind,
                    suggestion(kind, {kFindingKinds.begin(), kFindingKinds.end()})));
  }
  if (spec.expect_kinds.empty()) table.complain("kinds", "must name at least one kind");
  spec.expect_titles = table.names("titles");
  if (spec.expect_titles.empty()) table.complain("titles", "must name at least one title");
}

void read_sides(ConfigTable& root, CaseSpec& spec) {
  if (auto bug = root.table("bug")) {
    bug->allow({"kernel", "switches", "seconds"});
    spec.bug_kernel = bug->text("kernel");
    spec.bugs = bug->names("switches");
    spec.bug_seconds = read_seconds(*bug, spec.bug_seconds);
  }
  if (auto clean = root.table("clean")) {
    clean->allow({"kernel", "seconds"});
    spec.clean_kernel = clean->text("kernel");
    spec.clean_seconds = read_seconds(*clean, spec.clean_seconds);
  }
  if (auto expect = root.table("expect")) read_expectation(*expect, spec);
}

}  // namespace

std::map<std::string, std::string> read_params(ConfigTable& table) {
  std::map<std::string, std::string> out;
  for (const auto& [key, value] : table.raw()) {
    const std::string name(key.str());
    if (const auto* text = value.as_string()) {
      out[name] = text->get();
    } else if (const auto* integer = value.as_integer()) {
      out[name] = std::to_string(integer->get());
    } else {
      table.complain(name, "must be a string or an integer: a workload's parameters are no more");
    }
  }
  return out;
}

bool is_finding_kind(std::string_view kind) {
  return std::find(kFindingKinds.begin(), kFindingKinds.end(), kind) != kFindingKinds.end();
}

std::optional<SourceLine> source_line(std::string_view site) {
  constexpr std::string_view kPathLetters =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-+";
  const std::size_t colon = site.find(':');
  if (colon == 0 || colon == std::string_view::npos) return std::nullopt;
  const std::string_view file = site.substr(0, colon);
  SourceLine out{std::string(file), 0};
  const char* end = site.data() + site.size();
  const auto read = std::from_chars(site.data() + colon + 1, end, out.line);
  if (read.ec != std::errc() || read.ptr != end || out.line < 1 ||
      file.find_first_not_of(kPathLetters) != std::string_view::npos) {
    return std::nullopt;
  }
  return out;
}

std::optional<WidenFault> find_fault(const WidenSite& site) {
  if ((!is_site(site.site) && !source_line(site.site)) || site.site.size() > kMaxNameBytes) {
    return WidenFault{"site",
                      fmt::format("is '{}'; it must be SYMBOL or SYMBOL+0xOFFSET, or several "
                                  "with '|' between them, or FILE:LINE (mm/rmap.c:1834)",
                                  site.site)};
  }
  if (site.max_us < 1 || site.max_us > kMaxDelayUs) {
    return WidenFault{"max_us",
                      fmt::format("is {}; it must be from 1 to {}", site.max_us, kMaxDelayUs)};
  }
  if (site.min_us > site.max_us) {
    return WidenFault{"min_us", fmt::format("is {}; it must be at most 'max_us', which is {}",
                                            site.min_us, site.max_us)};
  }
  if (!(site.probability >= kMinProbability && site.probability <= 1)) {
    return WidenFault{"probability", fmt::format("is {}; it must be from {} to 1", site.probability,
                                                 kMinProbability)};
  }
  if (site.comm.size() > kMaxCommBytes || site.comm.find_first_of(" \t\n") != std::string::npos) {
    return WidenFault{"comm", fmt::format("is '{}'; a thread's name has at most {} bytes, and the "
                                          "widener's filter no white space",
                                          site.comm, kMaxCommBytes)};
  }
  if (site.mode != "auto" && site.mode != "spin") {
    return WidenFault{"mode", fmt::format("is '{}'; it must be 'auto' or 'spin'", site.mode)};
  }
  return std::nullopt;
}

Result<CaseSpec> read_case_spec(const std::filesystem::path& file) {
  auto config = ConfigFile::read(file);
  if (!config) return tl::make_unexpected(config.error());
  ConfigTable table = (*config)->root();
  table.allow({"summary", "workload", "machine", "params", "bug", "clean", "expect", "widen"});
  CaseSpec spec;
  spec.name = file.stem().string();
  spec.summary = table.text("summary");
  spec.workload = table.text("workload");
  spec.machine = table.text("machine");
  if (table.has("params")) {
    if (auto params = table.table("params")) spec.params = read_params(*params);
  }
  read_sides(table, spec);
  read_widens(table, spec);
  if (auto fine = (*config)->result(); !fine) return tl::make_unexpected(fine.error());
  return spec;
}

Error error_at(const std::filesystem::path& file, std::string_view section, std::string_view key,
               const std::string& what) {
  auto config = ConfigFile::read(file);
  if (!config) return config.error();
  ConfigTable root = (*config)->root();
  std::optional<ConfigTable> inner;
  if (!section.empty()) inner = root.table(section);
  (inner ? *inner : root).complain(key, what);
  return (*config)->result().error();
}

}  // namespace mmquake
