// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a kernel selftest prints: KTAP version 1 (Documentation/dev-tools/ktap.rst), and TAP 13 and
// 14 as far as selftests speak them. The guest is not trusted: any bytes are read, in any pieces,
// with bounded memory, and every text that comes out is printable ASCII.
//
// Lenient where the tests of the kernel are: text that is no KTAP is passed over; a version line
// may be missing; several documents may follow each other; numbers may repeat. A result needs a
// number, so that a program that merely prints "ok" is no test. An indented line is a result of a
// subtest only if a version line, a plan or "# Subtest:" with that indent came before. A document
// that ends before its first result is no fault: stdio's buffer is written twice when a test forks.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mmquake {

struct KtapReport {
  // Lines without subtests of their own.
  std::uint64_t passed = 0;
  std::uint64_t failed = 0;
  std::uint64_t skipped = 0;   // "# SKIP", with ok or with not ok
  std::uint64_t expected = 0;  // "not ok" with "# TODO" or "# XFAIL"
  // "not ok 3 NAME", "not ok 1 NAME < GROUP" for a subtest; at most kMostFailures.
  std::vector<std::string> failures = {};
  // "planned 5, saw 3", "planned 2, saw 1 < GROUP"; at most kMostPlanFaults.
  std::vector<std::string> plan_faults = {};
  std::optional<std::string> bail_out = {};  // its text
  std::string skip_reason = {};              // the first
  bool cut = false;                          // bytes are missing: what was not seen may have been

  bool any = false;  // somebody spoke KTAP

  static constexpr std::size_t kMostFailures = 64;
  static constexpr std::size_t kMostPlanFaults = 8;
  static constexpr std::size_t kLongestText = 240;

  // Everything that was tried was skipped, or "1..0 # SKIP".
  bool all_skipped() const;
};

// "12 ok, 1 not ok, 2 SKIP"; empty without results.
std::string to_string(const KtapReport& report);

class KtapParser {
 public:
  void feed(std::string_view bytes);
  // Bytes were lost here.
  void gap();
  // The end of the output: closes what is open.
  void finish();
  const KtapReport& report() const { return report_; }

 private:
  struct Level {
    std::size_t indent = 0;
    std::optional<std::uint64_t> plan = {};
    std::uint64_t seen = 0;
    std::uint64_t highest = 0;
    std::vector<std::string> failures = {}, plan_faults = {};
    // Of the subtests since the last result: the next one names their group.
    bool had_subtests = false;
    std::vector<std::string> inner_failures = {}, inner_plan_faults = {};
  };

  void take_line(std::string_view line);
  bool take_version(std::string_view text, std::size_t indent);
  bool take_plan(std::string_view text, std::size_t indent);
  bool take_result(std::string_view text, std::size_t indent);
  void take_comment(std::string_view text, std::size_t indent);
  // The level with that indent, what is deeper closed, made if need be; nullptr: it is too deep.
  Level* open_level(std::size_t indent);
  void close_deeper(std::size_t indent);
  static void end_group(Level& level, const std::string& name);
  static void end_level(Level& level, bool excused);
  void end_document();
  void count(Level& level, bool ok, std::uint64_t number, std::string_view rest);

  std::string line_;
  bool skips_line_ = false;  // up to the next newline
  std::vector<Level> levels_ = {Level{}};
  KtapReport report_;
};

}  // namespace mmquake
