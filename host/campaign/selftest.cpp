// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/campaign/selftest.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <set>

#include "guest/protocol/program_output.h"
#include "guest/protocol/records.h"
#include "host/console/signature.h"

namespace mmquake {
namespace {

constexpr std::size_t kTail = 16 << 10;

std::string last_line(const std::string& text) {
  const std::size_t end = text.find_last_not_of(" \t\r\n");
  if (end == std::string::npos) return "";
  const std::size_t before = text.find_last_of('\n', end);
  const std::size_t first = before == std::string::npos ? 0 : before + 1;
  return text.substr(first, end - first + 1);
}

std::vector<Finding> findings_of(const std::string& test, const KtapReport& ktap,
                                 bool last_resort) {
  std::vector<std::string> titles = ktap.failures;
  if (ktap.bail_out) titles.push_back("Bail out! " + *ktap.bail_out);
  if (titles.empty() && last_resort) titles = ktap.plan_faults;
  std::vector<Finding> out;
  for (const std::string& title : titles) {
    Finding finding;
    finding.kind = "failure";
    finding.title = fmt::format("{}: {}", test, title);
    finding.source = "oracle";
    finding.signature = signature_of(finding.kind, finding.title, "");
    out.push_back(std::move(finding));
  }
  return out;
}

// Its exit status, of which the results tell more.
bool is_plain_failure(const Finding& finding, const std::string& test) {
  return finding.kind == "failure" && finding.title.starts_with(test + ": exited with ");
}

}  // namespace

Result<SelftestOutput> read_selftest_output(const std::filesystem::path& records,
                                            const std::filesystem::path& copy, bool cut) {
  std::ifstream in(records, std::ios::binary);
  if (!in) return broken(fmt::format("cannot read '{}'", records.string()));
  std::ofstream out(copy, std::ios::binary | std::ios::trunc);
  SelftestOutput output;
  KtapParser parser;
  std::uint64_t next = 0;
  std::string line;
  while (std::getline(in, line)) {
    const auto record = from_json(line);
    const auto* note = record ? std::get_if<Note>(&*record) : nullptr;
    const auto piece = note != nullptr ? output_piece(note->text) : std::nullopt;
    if (!piece) continue;
    if (piece->number != next) parser.gap();
    next = piece->number + 1;
    parser.feed(piece->text);
    out << piece->text;
    output.tail += piece->text;
    if (output.tail.size() > kTail) output.tail.erase(0, output.tail.size() - kTail);
  }
  if (cut) parser.gap();
  parser.finish();
  output.ktap = parser.report();
  out.close();
  if (!out) return broken(fmt::format("cannot write '{}': is the disk full?", copy.string()));
  return output;
}

Verdict judge_selftest(Verdict verdict, const std::string& test, const SelftestOutput& output) {
  if (verdict.outcome == Outcome::kBroken) return verdict;
  std::vector<Finding> more = findings_of(test, output.ktap, verdict.outcome == Outcome::kPassed);
  if (more.empty()) {
    const std::string& reason = output.ktap.skip_reason;
    if (verdict.outcome == Outcome::kSkipped ||
        (verdict.outcome == Outcome::kPassed && output.ktap.all_skipped())) {
      verdict.outcome = Outcome::kSkipped;
      if (!reason.empty()) {
        verdict.reason = "the test says: " + reason;
      } else if (!output.tail.empty()) {
        verdict.reason = "the test says: " + last_line(output.tail);
      }
    }
    return verdict;
  }
  more.front().evidence["output"] = output.tail;
  std::erase_if(verdict.findings,
                [&](const Finding& finding) { return is_plain_failure(finding, test); });
  std::set<std::string> known;
  for (const Finding& finding : verdict.findings) known.insert(finding.signature);
  for (Finding& finding : more) {
    if (verdict.findings.size() == kMaxFindings) break;
    if (known.insert(finding.signature).second) verdict.findings.push_back(std::move(finding));
  }
  verdict.outcome = Outcome::kFound;
  verdict.reason.clear();
  return verdict;
}

}  // namespace mmquake
