// SPDX-License-Identifier: GPL-2.0-or-later
//
// Console bytes to kernel reports. Titles follow syzbot: "WARNING in f", "kernel BUG in f",
// "BUG: unable to handle kernel NULL pointer dereference in f", "INFO: task hung in f", ...
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "host/console/printk_line.h"
#include "host/console/report_shapes.h"

namespace mmquake {

struct KernelReport {
  // kernel-bug, oops, warning, panic, hung-task, rcu-stall, soft-lockup, hard-lockup,
  // atomic-sleep, lockdep, kasan, kfence, kmsan, kcsan, ubsan; and two that accuse no code:
  // oom (the whole guest ran out of memory) and nmi (CPUs shown on demand).
  std::string kind;
  std::string title;               // stable: no address, offset, pid or CPU number
  std::string log;                 // the report's lines, raw, at most 16 KiB
  std::uint64_t offset = 0;        // byte offset of its first line in the console
  std::optional<double> uptime_s;  // that line's timestamp
};

// Fed with whatever the console printed, in any pieces. Holds at most one line (4 KiB; the rest
// of a longer one is dropped), 16 open reports and 64 closed ones (later ones are counted only),
// of which 8 may have one title, so that a flood of one warning cannot hide what follows it.
//
// A report ends at its end mark, when another one starts, or when nothing that belongs to it
// comes any more. With CONFIG_PRINTK_CALLER the reports of several CPUs are kept apart; without,
// a report that starts inside of another one ends it.
class ConsoleParser {
 public:
  void feed(std::string_view bytes);
  void finish();  // closes the reports that are still open
  const std::vector<KernelReport>& reports() const { return reports_; }
  std::uint64_t dropped_reports() const { return dropped_; }
  std::uint64_t bytes() const { return offset_; }
  bool panicked() const { return panicked_; }
  // The last lines, for a trial that ended without any report (at most 8 KiB).
  std::string tail() const;

 private:
  struct Open {
    KernelReport report;
    ReportShape shape = ReportShape::kPrelude;
    std::string head;                  // the line that gave it its shape
    std::vector<std::string> callers;  // who prints it; others join for their NMI backtraces
    std::size_t kept = 0;              // bytes of its log up to the last line that belongs to it
    int gap = 0;                       // lines since then
    bool cut = false;                  // its "[ cut here ]" is there
    bool trapped = false;              // its WARNING or "[#1]" line is there
    bool asked_nmi = false;            // it asked other CPUs for their backtraces
    bool ended = false;                // "---[ end trace": an epilogue and a panic may follow
    bool panicked = false;
  };

  void keep_tail(std::string_view bytes);
  void take_line(std::string_view line);
  Open* open_of(std::string_view caller);
  void start(ReportShape shape, std::string_view line, const PrintkLine& printed);
  bool continues(const Open& open, ReportShape shape, std::string_view text) const;
  void extend(Open& open, ReportShape shape, std::string_view line, std::string_view text);
  void wait_for_more(Open& open, std::string_view line, std::string_view text);
  bool join_other(ReportShape shape, std::string_view line, std::string_view text,
                  std::string_view caller);
  void close(Open& open);

  std::vector<KernelReport> reports_;
  std::vector<Open> open_;
  std::string line_;
  std::string tail_;
  std::uint64_t offset_ = 0;
  std::uint64_t line_offset_ = 0;
  std::uint64_t dropped_ = 0;
  bool panicked_ = false;
};

// What a CPU outside of idle ran, of the backtraces of all CPUs in a log ("nmi" reports): a
// function's name, a view into the log. Empty if every CPU was idle or in user mode.
std::string_view busy_cpu(std::string_view log);

// Text from a guest made safe for a terminal or a text file: control characters and escape
// sequences, what changes the direction of text or hides it, and bytes that are no UTF-8 become
// \xNN; newlines and tabs stay.
std::string escape_for_terminal(std::string_view text);

}  // namespace mmquake
