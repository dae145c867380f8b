// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/console/ktap.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>

namespace mmquake {
namespace {

constexpr std::size_t kLongestLine = 1024;  // of a longer one the rest is passed over
constexpr std::size_t kMostLevels = 6;
constexpr std::size_t kDeepest = 32;  // columns
constexpr std::size_t kLongestName = 120;
constexpr std::uint64_t kLargestPlan = 1'000'000;

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r";
  const std::size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

std::string readable(std::string_view text, std::size_t limit) {
  std::string out(text.substr(0, limit));
  std::replace_if(
      out.begin(), out.end(), [](char c) { return c < 0x20 || c > 0x7e; }, '?');
  return out;
}

// A number at the beginning, taken away.
std::optional<std::uint64_t> take_number(std::string_view& text) {
  std::uint64_t number = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(stop - text.data()));
  return number;
}

bool take_word(std::string_view& text, std::string_view word) {
  if (!text.starts_with(word)) return false;
  text.remove_prefix(word.size());
  return true;
}

bool begins_with(std::string_view text, std::string_view upper) {
  return text.size() >= upper.size() &&
         std::equal(upper.begin(), upper.end(), text.begin(), [](char want, char got) {
           return want == std::toupper(static_cast<unsigned char>(got));
         });
}

// "NAME # SKIP reason"; a '#' behind a backslash belongs to the name.
struct Described {
  std::string_view name;
  std::string_view directive;
};

Described split(std::string_view rest) {
  std::size_t hash = rest.find('#');
  while (hash != std::string_view::npos && hash > 0 && rest[hash - 1] == '\\') {
    hash = rest.find('#', hash + 1);
  }
  Described out;
  out.name = trimmed(rest.substr(0, hash));
  if (out.name.starts_with("- ")) out.name = trimmed(out.name.substr(2));
  if (hash != std::string_view::npos) out.directive = trimmed(rest.substr(hash + 1));
  return out;
}

// Behind the first word.
std::string_view reason_in(std::string_view directive) {
  return trimmed(directive.substr(std::min(directive.find(' '), directive.size())));
}

void append(std::vector<std::string>& out, const std::vector<std::string>& more, std::size_t most,
            const std::string& group = "") {
  for (const std::string& text : more) {
    if (out.size() == most) return;
    std::string whole = text;
    if (!group.empty()) whole.append(" < ").append(group);
    out.push_back(readable(whole, KtapReport::kLongestText));
  }
}

}  // namespace

bool KtapReport::all_skipped() const {
  return skipped > 0 && passed == 0 && failed == 0 && expected == 0 && !bail_out &&
         plan_faults.empty();
}

std::string to_string(const KtapReport& report) {
  std::string out;
  const auto add = [&](std::uint64_t number, std::string_view what) {
    if (number > 0) out += fmt::format("{}{} {}", out.empty() ? "" : ", ", number, what);
  };
  add(report.passed, "ok");
  add(report.failed, "not ok");
  add(report.expected, "XFAIL");
  add(report.skipped, "SKIP");
  return out;
}

void KtapParser::feed(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::size_t end = std::min(bytes.find('\n'), bytes.size());
    if (!skips_line_) {
      line_ += bytes.substr(0, std::min(end, kLongestLine - line_.size()));
    }
    if (end == bytes.size()) return;
    if (!skips_line_) take_line(line_);
    skips_line_ = false;
    line_.clear();
    bytes.remove_prefix(end + 1);
  }
}

void KtapParser::gap() {
  report_.cut = true;
  skips_line_ = true;
  line_.clear();
}

void KtapParser::finish() {
  if (!skips_line_ && !line_.empty()) take_line(line_);
  line_.clear();
  end_document();
}

void KtapParser::take_line(std::string_view line) {
  const std::size_t indent = std::min(line.find_first_not_of(' '), line.size());
  const std::string_view text = trimmed(line);
  if (text.starts_with("Bail out!")) {
    if (!report_.bail_out) {
      report_.bail_out = readable(trimmed(text.substr(9)), kLongestName);
    }
    report_.any = true;
    return;
  }
  if (take_version(text, indent) || take_plan(text, indent) || take_result(text, indent)) {
    report_.any = true;
    return;
  }
  take_comment(text, indent);
}

bool KtapParser::take_version(std::string_view text, std::size_t indent) {
  std::string_view rest = text;
  take_word(rest, "K");
  if (!take_word(rest, "TAP version ") || !take_number(rest) || !rest.empty()) return false;
  if (indent == 0) {
    close_deeper(0);
    if (levels_.front().seen == 0) levels_.front().plan.reset();
    end_document();
  } else {
    // Another document with the same indent: the one before has ended.
    close_deeper(indent - 1);
    open_level(indent);
  }
  return true;
}

bool KtapParser::take_plan(std::string_view text, std::size_t indent) {
  std::string_view rest = text;
  if (!take_word(rest, "1..")) return false;
  const auto plan = take_number(rest);
  rest = trimmed(rest);
  if (!plan || *plan > kLargestPlan || !(rest.empty() || rest.front() == '#')) return false;
  Level* level = open_level(indent);
  if (level == nullptr) return true;
  level->plan = plan;
  if (*plan > 0) return true;
  ++report_.skipped;
  if (report_.skip_reason.empty() && !rest.empty()) {
    report_.skip_reason = readable(reason_in(trimmed(rest.substr(1))), kLongestName);
  }
  return true;
}

bool KtapParser::take_result(std::string_view text, std::size_t indent) {
  const bool ok = !take_word(text, "not ");
  if (!take_word(text, "ok ")) return false;
  const auto number = take_number(text);
  if (!number || !(text.empty() || text.front() == ' ' || text.front() == '\t')) return false;
  const bool open = std::any_of(levels_.begin(), levels_.end(),
                                [&](const Level& level) { return level.indent == indent; });
  if (!open) return false;
  close_deeper(indent);
  count(levels_.back(), ok, *number, text);
  return true;
}

void KtapParser::take_comment(std::string_view text, std::size_t indent) {
  if (indent == 0 || !take_word(text, "# Subtest: ")) return;
  open_level(indent);
}

void KtapParser::count(Level& level, bool ok, std::uint64_t number, std::string_view rest) {
  ++level.seen;
  level.highest = std::max(level.highest, number);
  const Described described = split(rest);
  const std::string name = readable(
      described.name.empty() ? reason_in(described.directive) : described.name, kLongestName);
  const bool group = level.had_subtests;
  const bool told = !level.inner_failures.empty() || !level.inner_plan_faults.empty();
  end_group(level, name);
  if (begins_with(described.directive, "SKIP")) {
    if (!group) ++report_.skipped;
    if (report_.skip_reason.empty()) {
      report_.skip_reason = readable(reason_in(described.directive), kLongestName);
    }
  } else if (ok) {
    if (!group) ++report_.passed;
  } else if (begins_with(described.directive, "TODO") ||
             begins_with(described.directive, "XFAIL")) {
    if (!group) ++report_.expected;
  } else if (!told) {
    ++report_.failed;
    append(level.failures, {fmt::format("not ok {} {}", number, name)}, KtapReport::kMostFailures);
  }
}

KtapParser::Level* KtapParser::open_level(std::size_t indent) {
  close_deeper(indent);
  if (levels_.back().indent == indent) return &levels_.back();
  if (levels_.size() == kMostLevels || indent > kDeepest) return nullptr;
  levels_.back().had_subtests = true;
  levels_.push_back({.indent = indent});
  return &levels_.back();
}

void KtapParser::close_deeper(std::size_t indent) {
  while (levels_.back().indent > indent) {
    Level closed = std::move(levels_.back());
    levels_.pop_back();
    end_level(closed, report_.bail_out.has_value() || report_.cut);
    Level& outer = levels_.back();
    append(outer.inner_failures, closed.failures, KtapReport::kMostFailures);
    append(outer.inner_plan_faults, closed.plan_faults, KtapReport::kMostPlanFaults);
  }
}

// The subtests get the name of their group.
void KtapParser::end_group(Level& level, const std::string& name) {
  append(level.failures, level.inner_failures, KtapReport::kMostFailures, name);
  append(level.plan_faults, level.inner_plan_faults, KtapReport::kMostPlanFaults, name);
  level.inner_failures.clear();
  level.inner_plan_faults.clear();
  level.had_subtests = false;
}

// Numbers may repeat, so what is missing is told by how many there were, and what is too much by
// the highest.
void KtapParser::end_level(Level& level, bool excused) {
  end_group(level, "");  // the group whose result never came has no name
  const bool fulfilled =
      !level.plan || excused || (level.seen >= *level.plan && level.highest <= *level.plan);
  if (!fulfilled) {
    append(level.plan_faults,
           {fmt::format("planned {}, saw {}", *level.plan, std::max(level.seen, level.highest))},
           KtapReport::kMostPlanFaults);
  }
}

void KtapParser::end_document() {
  close_deeper(0);
  Level& level = levels_.front();
  end_level(level, report_.bail_out.has_value() || report_.cut);
  append(report_.failures, level.failures, KtapReport::kMostFailures);
  append(report_.plan_faults, level.plan_faults, KtapReport::kMostPlanFaults);
  level = Level{};
}

}  // namespace mmquake
