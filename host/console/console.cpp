// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/console/console.h"

#include <algorithm>
#include <array>

#include "host/console/printk_line.h"
#include "host/console/titles.h"

namespace mmquake {
namespace {

using Shape = ReportShape;

constexpr std::size_t kMaxLine = 4096;
constexpr std::size_t kMaxLog = 16384;
constexpr std::size_t kMaxReports = 64;
constexpr std::ptrdiff_t kMaxOfOneTitle = 8;
constexpr std::size_t kMaxOpen = 16;
constexpr std::size_t kMaxCallers = 64;
constexpr std::size_t kMaxTail = 8192;
// What is left for the lines that matter most: the panic, the end.
constexpr std::size_t kReserve = 1024;
// In the second half of a log only what names a CPU or a function has room.
constexpr std::size_t kSpacious = kMaxLog / 2;
// Lines of other origin that may come between "---[ end trace" and what follows it.
constexpr int kEpilogueGap = 4;

constexpr auto kRegisters = std::to_array<std::string_view>(
    {"Code: ", "RAX: ", "RDX: ", "RBP: ", "R10: ", "R13: ", "FS: ", "CS: ", "CR2: ", "DR0: ",
     "DR3: ", "PKRU: ", "RSP: ", "Hardware name: ", "Modules linked in:"});

bool is_register_dump(std::string_view text) {
  return text.starts_with(" ? ") ||
         std::any_of(kRegisters.begin(), kRegisters.end(),
                     [&](auto start) { return text.starts_with(start); });
}

bool is_sanitizer(Shape shape) {
  return shape == Shape::kKasan || shape == Shape::kKfence || shape == Shape::kKmsan ||
         shape == Shape::kKcsan || shape == Shape::kUbsan;
}

// Reports whose first line is followed by a line with "[#1]".
bool expects_trap(Shape shape, std::string_view head) {
  return shape == Shape::kKernelBug || shape == Shape::kNullDereference ||
         shape == Shape::kPagingRequest || shape == Shape::kPageTable || shape == Shape::kDie ||
         shape == Shape::kListCorruption || head.find("stack guard page") != head.npos;
}

// Reports that contain a dump of a page.
bool dumps_page(Shape shape) {
  return shape == Shape::kPrelude || shape == Shape::kBadPage || shape == Shape::kSlub ||
         is_sanitizer(shape);
}

void append(std::string& log, std::string_view line, std::string_view text, bool important) {
  const std::size_t limit = important ? kMaxLog : kMaxLog - kReserve;
  if (log.size() + line.size() + 1 > limit) return;
  if (!important && log.size() > kSpacious && is_register_dump(text)) return;
  log += line;
  log += '\n';
}

}  // namespace

void ConsoleParser::feed(std::string_view bytes) {
  keep_tail(bytes);
  while (!bytes.empty()) {
    const std::size_t newline = bytes.find('\n');
    const std::string_view piece = bytes.substr(0, newline);
    const bool whole = newline != std::string_view::npos;
    if (line_.empty() && whole) {
      take_line(piece.substr(0, kMaxLine));
    } else {
      line_.append(piece.substr(0, kMaxLine - line_.size()));
      if (whole) take_line(line_);
    }
    const std::size_t taken = piece.size() + (whole ? 1 : 0);
    bytes.remove_prefix(taken);
    offset_ += taken;
    if (whole) {
      line_.clear();
      line_offset_ = offset_;
    }
  }
}

void ConsoleParser::finish() {
  if (!line_.empty()) take_line(line_);
  line_.clear();
  line_offset_ = offset_;
  for (Open& open : open_) close(open);
  open_.clear();
}

void ConsoleParser::keep_tail(std::string_view bytes) {
  if (bytes.size() >= kMaxTail) {
    tail_ = bytes.substr(bytes.size() - kMaxTail);
    return;
  }
  // Trimmed when it is twice too long, and not for every byte.
  tail_ += bytes;
  if (tail_.size() > 2 * kMaxTail) tail_.erase(0, tail_.size() - kMaxTail);
}

std::string ConsoleParser::tail() const {
  if (tail_.size() < kMaxTail || (tail_.size() == kMaxTail && offset_ == kMaxTail)) return tail_;
  std::string_view last = std::string_view(tail_).substr(tail_.size() - kMaxTail);
  // Rather whole lines than the last byte, if there are lines.
  const std::size_t newline = last.find('\n');
  if (newline < kMaxLine) last.remove_prefix(newline + 1);
  return std::string(last);
}

void ConsoleParser::take_line(std::string_view line) {
  while (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  const PrintkLine printed = parse_printk_line(line);
  const std::string_view text = printed.text;
  const std::string_view caller = printed.caller;
  if (text.starts_with(kPanicLine) || text.starts_with(kEndOfPanic)) panicked_ = true;
  const Shape shape = shape_of(text);
  if (Open* open = open_of(caller)) {
    if (continues(*open, shape, text)) {
      extend(*open, shape, line, text);
      return;
    }
    if (shape == Shape::kNone) {
      wait_for_more(*open, line, text);
      return;
    }
    close(*open);
    open_.erase(open_.begin() + (open - open_.data()));
  }
  if (shape == Shape::kNone || join_other(shape, line, text, caller)) return;
  start(shape, line, printed);
}

ConsoleParser::Open* ConsoleParser::open_of(std::string_view caller) {
  for (Open& open : open_) {
    if (std::find(open.callers.begin(), open.callers.end(), caller) != open.callers.end()) {
      return &open;
    }
  }
  return nullptr;
}

void ConsoleParser::start(Shape shape, std::string_view line, const PrintkLine& printed) {
  if (open_.size() >= kMaxOpen) {
    close(open_.front());
    open_.erase(open_.begin());
  }
  Open& open = open_.emplace_back();
  open.report.offset = line_offset_;
  open.report.uptime_s = printed.seconds;
  open.callers.emplace_back(printed.caller);
  extend(open, shape, line, printed.text);
}

// Whether a line belongs to an open report of its caller, even if it could start one.
bool ConsoleParser::continues(const Open& open, Shape shape, std::string_view text) const {
  const bool prelude = open.shape == Shape::kPrelude;
  if (text.starts_with(kEndOfPanic)) return open.panicked;
  switch (shape) {
    case Shape::kNone:
      if (open.ended) return is_epilogue(text);
      if (text.starts_with("Memory cgroup out of memory")) return open.shape == Shape::kOutOfMemory;
      return is_report_content(text) || text.starts_with("Out of memory");
    case Shape::kPrelude:
      if (open.ended) return false;
      if (text.starts_with("=====")) {
        return is_sanitizer(open.shape) || open.shape == Shape::kHungTask;
      }
      // A page dump before "cut here" is part of one story; a second "cut here" is another one.
      if (text.starts_with(kCutHere)) {
        return (prelude || open.shape == Shape::kListCorruption) && !open.cut;
      }
      return dumps_page(open.shape);
    case Shape::kPanic:
      if (is_consequence_panic(text)) return !prelude;
      return !open.ended && open.shape != Shape::kNmi;
    case Shape::kNmi:
      if (is_nmi_panic(text) || text.starts_with("Uhhuh")) return open.shape == Shape::kNmi;
      return !prelude && (!open.ended || open.panicked);
    case Shape::kOutOfMemory:
      return open.shape == Shape::kOutOfMemory && (!open.ended || text.starts_with(kPanicLine));
    case Shape::kDie:
      return prelude || (expects_trap(open.shape, open.head) && !open.trapped && !open.ended);
    case Shape::kWarning:
    case Shape::kKernelBug:
      return prelude || (open.shape == Shape::kListCorruption && !open.trapped && !open.ended);
    default:
      return prelude;
  }
}

void ConsoleParser::extend(Open& open, Shape shape, std::string_view line, std::string_view text) {
  const bool head = open.shape == Shape::kPrelude && shape != Shape::kNone;
  if (head && shape != Shape::kPrelude) {
    open.shape = shape;
    open.head = text.substr(0, 512);
  }
  const bool panic = text.starts_with(kPanicLine);
  const bool end = text.starts_with(kEndOfTrace) || text.starts_with(kEndOfPanic) ||
                   (open.shape == Shape::kOutOfMemory && text.starts_with("Out of memory")) ||
                   open.shape == Shape::kBadEntry ||
                   (!head && is_sanitizer(open.shape) && text.starts_with("====="));
  open.cut = open.cut || text.starts_with(kCutHere);
  // "PANIC: double fault" only announces its trap.
  const bool trap =
      shape == Shape::kWarning || (shape == Shape::kDie && !text.starts_with("traps"));
  open.trapped = open.trapped || trap;
  append(open.report.log, line, text, head || panic || end);
  open.kept = open.report.log.size();
  open.gap = 0;
  open.panicked = open.panicked || panic;
  open.asked_nmi = open.asked_nmi || panic || text.starts_with("Sending NMI from CPU");
  open.ended = (open.ended || end) && !open.panicked;
  const bool cgroup = open.shape == Shape::kOutOfMemory && is_cgroup_out_of_memory(text);
  if (cgroup) open.shape = Shape::kPrelude;  // nobody's report: a cgroup's limit did its work
  if (cgroup || text.starts_with(kEndOfPanic)) {
    close(open);
    open_.erase(open_.begin() + (&open - open_.data()));
  }
}

// A line that belongs to nobody: kept only if more of the report follows it.
void ConsoleParser::wait_for_more(Open& open, std::string_view line, std::string_view text) {
  ++open.gap;
  if (open.gap > (open.ended ? kEpilogueGap : patience(open.shape))) {
    close(open);
    open_.erase(open_.begin() + (&open - open_.data()));
  } else if (!open.ended) {
    append(open.report.log, line, text, false);
  }
}

// A line that starts something, of a caller without an open report, may belong to another's.
bool ConsoleParser::join_other(Shape shape, std::string_view line, std::string_view text,
                               std::string_view caller) {
  if (shape == Shape::kNmi && text.starts_with("NMI backtrace")) {
    for (Open& open : open_) {
      if (!open.asked_nmi || open.callers.size() >= kMaxCallers) continue;
      open.callers.emplace_back(caller);
      extend(open, shape, line, text);
      return true;
    }
  }
  if (shape != Shape::kPanic || !is_consequence_panic(text)) return false;
  // The report is closed already: what panicked is known.
  if (reports_.empty()) return dropped_ > 0;
  if (reports_.back().kind == "oom" || reports_.back().kind == "nmi") return false;
  append(reports_.back().log, line, text, true);
  return true;
}

void ConsoleParser::close(Open& open) {
  if (open.shape == Shape::kPrelude) return;
  if (reports_.size() >= kMaxReports) {
    ++dropped_;
    return;
  }
  KernelReport& report = open.report;
  report.log.resize(open.kept);
  report.kind = kind_of(open.shape);
  report.title = title_of(open.shape, open.head, report.log);
  const auto same = std::count_if(reports_.begin(), reports_.end(), [&](const KernelReport& other) {
    return other.title == report.title;
  });
  if (same >= kMaxOfOneTitle) {
    ++dropped_;
    return;
  }
  // In the order in which they began, also if an earlier one ends later.
  const auto place = std::find_if(reports_.begin(), reports_.end(), [&](const KernelReport& other) {
    return other.offset > report.offset;
  });
  reports_.insert(place, std::move(report));
}

}  // namespace mmquake
