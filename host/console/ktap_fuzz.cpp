// SPDX-License-Identifier: GPL-2.0-or-later
//
// Whatever a test prints: the parser neither crashes nor grows, and the pieces in which the bytes
// come do not matter. The first two bytes choose where they are cut.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "host/console/ktap.h"

namespace {

using mmquake::KtapReport;

void require(bool condition) {
  if (!condition) std::abort();
}

void check_text(const std::string& text) {
  require(text.size() <= KtapReport::kLongestText);
  require(std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7f; }));
}

void check(const KtapReport& report, std::size_t size) {
  require(report.failures.size() <= KtapReport::kMostFailures);
  require(report.plan_faults.size() <= KtapReport::kMostPlanFaults);
  // "ok 1" and a newline are the shortest result.
  require(report.passed + report.failed + report.expected + report.skipped <= size / 4);
  require(report.failed >= report.failures.size());
  require(report.failures.empty() == (report.failed == 0));
  require(report.any || (report.failures.empty() && report.plan_faults.empty()));
  require(!report.all_skipped() || report.failures.empty());
  for (const std::string& text : report.failures) check_text(text);
  for (const std::string& text : report.plan_faults) check_text(text);
  check_text(report.skip_reason);
  check_text(report.bail_out.value_or(""));
}

KtapReport parse(std::string_view first, std::string_view second, bool gap) {
  mmquake::KtapParser parser;
  parser.feed(first);
  if (gap) parser.gap();
  parser.feed(second);
  parser.finish();
  return parser.report();
}

}  // namespace

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's name
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 2, size - 2);
  const std::size_t cut = input.empty() ? 0 : (data[0] * 256U + data[1]) % input.size();
  const KtapReport whole = parse(input, "", false);
  check(whole, input.size());
  const KtapReport pieces = parse(input.substr(0, cut), input.substr(cut), false);
  require(to_string(pieces) == to_string(whole) && pieces.failures == whole.failures &&
          pieces.plan_faults == whole.plan_faults && pieces.bail_out == whole.bail_out &&
          pieces.skip_reason == whole.skip_reason && pieces.any == whole.any);
  check(parse(input.substr(0, cut), input.substr(cut), true), input.size());
  return 0;
}
