// SPDX-License-Identifier: GPL-2.0-or-later
//
// Console bytes to kernel reports. Titles follow syzbot: "WARNING in f", "kernel BUG in f",
// "BUG: unable to handle kernel NULL pointer dereference in f", "INFO: task hung in f", ...
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mmquake {

struct KernelReport {
  std::string kind;   // kernel-bug, warning, oops, rcu-stall, soft-lockup, hung-task, panic, ...
  std::string title;  // stable: no address, offset, pid or CPU number
  std::string log;    // the report's lines, raw, at most 16 KiB
  std::uint64_t offset = 0;  // byte offset of its first line in the console
};

// Fed with whatever the console printed. Holds at most one line (4 KiB; the rest of a longer
// one is dropped) and 64 reports (later ones are counted only).
class ConsoleParser {
 public:
  void feed(std::string_view bytes);
  void finish();  // closes a report that is still open
  const std::vector<KernelReport>& reports() const { return reports_; }
  std::uint64_t dropped_reports() const { return dropped_; }
  std::uint64_t bytes() const { return offset_; }
  bool panicked() const { return panicked_; }
  // The last lines, for a trial that ended without any report (at most 8 KiB).
  std::string tail() const;

 private:
  void take_line();
  std::vector<KernelReport> reports_;
  std::string line_;
  std::string tail_;
  std::uint64_t offset_ = 0;
  std::uint64_t line_offset_ = 0;
  std::uint64_t dropped_ = 0;
  bool open_ = false;
  bool panicked_ = false;
};

// Text from a guest made safe for a terminal or a text file: control characters and escape
// sequences become \xNN; newlines and tabs stay.
std::string escape_for_terminal(std::string_view text);

}  // namespace mmquake
