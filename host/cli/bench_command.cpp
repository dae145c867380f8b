// SPDX-License-Identifier: GPL-2.0-or-later
//
// mmquake bench pin: what does nth_page() cost, on both memory models?
#include "host/cli/bench_command.h"

#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>

#include "host/campaign/pin_speed.h"
#include "host/cli/interrupt.h"

namespace mmquake {
namespace {

struct Subject {
  const char* kernel;
  const char* model;
};
constexpr std::array<Subject, 2> kSubjects{
    {{"pin-speed-novmemmap", "SPARSEMEM"}, {"pin-speed", "SPARSEMEM_VMEMMAP"}}};
constexpr const char* kWorkload = "pin-speed";
constexpr const char* kMachine = "numa2-gigantic";
// Guest time. A round takes a second under TCG.
constexpr double kSeconds = 600;

Result<PinSpeedResult> measure(Session& session, const Subject& subject,
                               const BenchPinOptions& options,
                               const std::filesystem::path& directory, bool& emulated) {
  // The workload puts the switch on and off by itself.
  auto plan = session.prepare(subject.kernel, kMachine, {});
  if (!plan) return tl::make_unexpected(plan.error());
  plan->guest.workload = kWorkload;
  plan->guest.params = {{"rounds", std::to_string(options.rounds)}};
  plan->guest.max_rounds = static_cast<std::uint64_t>(options.rounds);
  plan->guest.seconds = kSeconds;
  emulated = emulated || plan->accelerator == Accelerator::kTcg;
  ReportedTrial trial;
  trial.plan = std::move(*plan);
  trial.side = subject.kernel;
  trial.plan.name = subject.kernel;
  trial.plan.directory = directory / subject.kernel;
  trial.plan.repeat_command =
      fmt::format("{} run {} --kernel {} --machine {} --param rounds={} --seconds {}",
                  shell_word(session.options().program), kWorkload, subject.kernel, kMachine,
                  options.rounds, kSeconds);
  auto ran = session.run(std::move(trial));
  if (!ran) return tl::make_unexpected(ran.error());
  if (ran->result.verdict.outcome != Outcome::kPassed) {
    const std::string what = fmt::format("{}\n  report: {}", verdict_line(*ran, false),
                                         (ran->result.directory / "report.txt").string());
    return ran->result.verdict.outcome == Outcome::kSkipped ? Result<PinSpeedResult>(skipped(what))
                                                            : Result<PinSpeedResult>(broken(what));
  }
  auto rows = pin_speed_rows(ran->result.summary.counters);
  if (!rows) return tl::make_unexpected(rows.error());
  return PinSpeedResult{subject.kernel, subject.model, std::move(*rows)};
}

}  // namespace

int bench_pin(const CommonOptions& common, const BenchPinOptions& options) {
  auto session = Session::open(common);
  if (!session) return fail(session.error());
  auto directory = (*session)->run_directory("bench-pin");
  if (!directory) return fail(directory.error());
  std::vector<PinSpeedResult> results;
  bool emulated = false;
  for (const Subject& subject : kSubjects) {
    auto measured = measure(**session, subject, options, *directory, emulated);
    if (interrupted()) return interrupted_exit_code();
    if (!measured) return fail(measured.error());
    results.push_back(std::move(*measured));
  }
  const std::string table = pin_speed_table(results);
  if (auto written = write_file(*directory / "report.txt", table); !written) {
    return fail(written.error());
  }
  if (common.json) {
    fmt::print("{}\n", pin_speed_json(results).dump(2));
  } else {
    fmt::print("{}", table);
    if (emulated) {
      fmt::print(
          "Under TCG where a loop lies counts for up to a factor of two: see docs/bench.md\n");
    }
  }
  return kExitExpected;
}

}  // namespace mmquake
