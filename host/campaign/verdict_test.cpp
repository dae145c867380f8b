// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/campaign/verdict.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/console/report_shapes.h"
#include "host/plan/plan.h"

namespace mmquake {
namespace {

using ::testing::HasSubstr;

// A trial in which everything went well; each test spoils one thing.
Observation good() {
  Observation seen;
  seen.end = TrialEnd::kPoweredOff;
  seen.hello = Hello{};
  Summary summary;
  summary.outcome = Outcome::kPassed;
  summary.rounds = 10;
  seen.summary = summary;
  seen.workload_console_offset = 1000;
  return seen;
}

KernelReport report(std::string kind, std::string title, std::uint64_t offset = 2000) {
  return {std::move(kind), std::move(title), "log", offset, std::nullopt};
}

FindingRecord hang() {
  FindingRecord record;
  record.kind = "hang";
  record.title = "hang in handle_userfault";
  record.time_s = 3;
  record.round = 41;
  return record;
}

TEST(Judge, PassesWhatIsGood) {
  const Verdict verdict = judge(good());
  EXPECT_EQ(verdict.outcome, Outcome::kPassed);
  EXPECT_TRUE(verdict.findings.empty());
}

TEST(Judge, OracleFindingIsFoundWithItsTimeAndRound) {
  Observation seen = good();
  seen.findings = {hang(), hang()};
  seen.summary->outcome = Outcome::kFound;
  const Verdict verdict = judge(seen);
  ASSERT_EQ(verdict.outcome, Outcome::kFound);
  ASSERT_EQ(verdict.findings.size(), 1U) << "one title, one finding";
  EXPECT_EQ(verdict.findings[0].title, "hang in handle_userfault");
  EXPECT_EQ(verdict.findings[0].source, "oracle");
  EXPECT_EQ(verdict.findings[0].round, 41U);
}

KernelReport unlocked_by(const std::string& caller) {
  KernelReport out = report("kernel-bug", "kernel BUG in folio_unlock");
  out.log = "RIP: 0010:folio_unlock+0x1/0x2\nCall Trace:\n " + caller + "+0x1/0x2\n";
  return out;
}

TEST(Judge, OneFindingABug) {
  Observation seen = good();
  seen.reports = {unlocked_by("shmem_fault"), unlocked_by("migrate_pages"),
                  unlocked_by("shmem_fault")};
  const Verdict verdict = judge(seen);
  ASSERT_EQ(verdict.findings.size(), 2U);
  EXPECT_EQ(verdict.findings[0].signature, "kernel-bug: kernel BUG in folio_unlock < shmem_fault");
  EXPECT_EQ(verdict.findings[1].signature,
            "kernel-bug: kernel BUG in folio_unlock < migrate_pages");
  seen.findings = {hang()};
  seen.findings[0].title = seen.reports[0].title;
  EXPECT_EQ(judge(seen).findings.size(), 1U) << "the oracle has read the kernel's log itself";
}

TEST(Judge, SymbolizedFindingsMayBeOneBug) {
  Observation seen = good();
  seen.reports = {unlocked_by("a"), unlocked_by("b")};
  std::vector<Finding> findings = judge(seen).findings;
  ASSERT_EQ(findings.size(), 2U);
  sign(findings, [](const std::string& log) {
    return "RIP: 0010:folio_unlock+0x1/0x2\nCall Trace:\n  same (mm/a.c:1) [inline]\n" + log;
  });
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].signature, "kernel-bug: kernel BUG in folio_unlock < same");
}

TEST(Judge, AHangIsWhereItsStackIs) {
  Observation seen = good();
  seen.findings = {hang()};
  seen.findings[0].title = "hang in release_job";
  seen.findings[0].evidence["stack"] =
      "    queue_job (mm/jobs.c:7) [inline]\n[<0>] release_job+0x1/0x2\n";
  EXPECT_EQ(judge(seen).findings.at(0).signature, "hang: hang in queue_job");
  seen.findings[0].kind = "corruption";
  EXPECT_EQ(judge(seen).findings.at(0).signature, "corruption: hang in release_job");
}

TEST(Judge, KernelReportIsFoundEvenIfTheGuestSaysPassed) {
  Observation seen = good();
  seen.reports = {report("warning", "WARNING in split_huge_page_to_list")};
  const Verdict verdict = judge(seen);
  ASSERT_EQ(verdict.outcome, Outcome::kFound);
  EXPECT_EQ(verdict.findings[0].source, "console");
}

TEST(Judge, KernelReportHasItsOwnTime) {
  Observation seen = good();
  KernelReport warned = report("warning", "WARNING in f");
  warned.uptime_s = 7.5;
  seen.reports = {warned, report("warning", "WARNING in g")};
  EXPECT_EQ(judge(seen).findings.at(0).seconds, 0) << "nobody knows when the workload started";
  seen.workload_uptime_s = 3.25;
  const Verdict verdict = judge(seen);
  EXPECT_EQ(verdict.findings.at(0).seconds, 4.25);
  EXPECT_EQ(verdict.findings.at(1).seconds, 0) << "it has no timestamp";
}

TEST(Judge, KernelReportAndCrashWithoutSummaryIsFound) {
  Observation seen = good();
  seen.end = TrialEnd::kCrashed;
  seen.summary.reset();
  seen.reports = {report("oops", "general protection fault in move_pages")};
  EXPECT_EQ(judge(seen).outcome, Outcome::kFound);
}

TEST(Judge, HostReasonsAreBrokenWhateverWasSeen) {
  for (const TrialEnd end : {TrialEnd::kHostFailure, TrialEnd::kInterrupted}) {
    Observation seen = good();
    seen.end = end;
    seen.findings = {hang()};
    seen.reports = {report("oops", "general protection fault in f")};
    const Verdict verdict = judge(seen);
    EXPECT_EQ(verdict.outcome, Outcome::kBroken);
    EXPECT_EQ(verdict.findings.size(), 2U) << "what was seen is kept as evidence";
  }
}

TEST(Judge, NoBootIsBrokenAlsoWithAKernelReport) {
  Observation seen;
  seen.end = TrialEnd::kNoBoot;
  EXPECT_THAT(judge(seen).reason, HasSubstr("PID 1 was never heard of"));
  seen.reports = {report("panic", "kernel panic: VFS: Unable to mount root fs", 500)};
  const Verdict verdict = judge(seen);
  EXPECT_EQ(verdict.outcome, Outcome::kBroken);
  EXPECT_THAT(verdict.reason, HasSubstr("boot failure: kernel panic"));
}

TEST(Judge, WarningBeforeTheWorkloadIsNotTheWorkloads) {
  Observation seen = good();
  seen.reports = {report("warning", "WARNING in topology_sane", 999)};
  const Verdict verdict = judge(seen);
  EXPECT_EQ(verdict.outcome, Outcome::kBroken);
  EXPECT_THAT(verdict.reason, HasSubstr("before the workload began"));
}

TEST(Judge, GuestOutOfMemoryIsBroken) {
  Observation seen = good();
  seen.reports = {report("oom", "out of memory")};
  EXPECT_EQ(judge(seen).outcome, Outcome::kBroken);
}

TEST(Judge, OtherProtocolIsBroken) {
  Observation seen = good();
  seen.hello->protocol = kProtocolVersion + 1;
  EXPECT_EQ(judge(seen).outcome, Outcome::kBroken);
}

TEST(Judge, FindingOfUnknownKindIsBroken) {
  Observation seen = good();
  FindingRecord nonsense = hang();
  nonsense.kind = "<script>";
  seen.findings = {nonsense};
  EXPECT_EQ(judge(seen).outcome, Outcome::kBroken);
}

TEST(Judge, SilenceIsFoundOnlyWhenTheNmiCaughtAStuckCpu) {
  Observation seen = good();
  seen.end = TrialEnd::kSilent;
  seen.summary.reset();
  EXPECT_EQ(judge(seen).outcome, Outcome::kBroken) << "no diagnosis at all";

  KernelReport nmi = report("nmi", "NMI in default_idle");
  nmi.log = "NMI backtrace for cpu 0\nRIP: 0010:default_idle+0xf/0x10\n";
  seen.reports = {nmi};
  EXPECT_EQ(judge(seen).outcome, Outcome::kBroken) << "all CPUs idle: the harness hangs";

  seen.reports[0].log +=
      "NMI backtrace for cpu 1\nRIP: 0010:isolate_migratepages_block+0x1f/0x500\n";
  const Verdict verdict = judge(seen);
  ASSERT_EQ(verdict.outcome, Outcome::kFound);
  EXPECT_EQ(verdict.findings[0].kind, "hang");
}

// A vCPU that hardly ran and waited, one that spins on a busy host, and a deadlock.
const StallWindow kStarved{20, {{5, 10}, {0.4, 17.4}}};
const StallWindow kSpinning{20, {{6, 14}, {5.5, 14}}};
const StallWindow kDeadlocked{20, {{0.1, 0.2}, {0, 0}}};

TEST(Judge, ADetectorsClockIsNotBelievedOfAStarvedGuest) {
  for (const char* kind : {"hung-task", "rcu-stall", "soft-lockup", "hard-lockup"}) {
    Observation seen = good();
    seen.reports = {report(kind, "INFO: task hung in f")};
    EXPECT_EQ(judge(seen).outcome, Outcome::kFound) << "nobody watched the host";
    for (const StallWindow& window : {kSpinning, kDeadlocked, StallWindow{20, {}}}) {
      seen.report_windows = {window};
      EXPECT_EQ(judge(seen).outcome, Outcome::kFound) << kind;
    }
    seen.report_windows = {kStarved};
    const Verdict verdict = judge(seen);
    ASSERT_EQ(verdict.outcome, Outcome::kBroken) << kind;
    EXPECT_THAT(verdict.reason, HasSubstr("host was too busy"));
    EXPECT_THAT(verdict.reason, HasSubstr("vCPU 1 ran for 0.4 of 20 s and waited 17.4 s"));
    EXPECT_THAT(verdict.reason, HasSubstr("before 'INFO: task hung in f'"));
    EXPECT_EQ(verdict.findings.size(), 1U) << "it is kept, unconfirmed";
  }
}

TEST(Judge, AHangIsAMatterOfTimeToo) {
  Observation seen = good();
  seen.findings = {hang()};
  seen.finding_windows = {kSpinning};
  EXPECT_EQ(judge(seen).outcome, Outcome::kFound);
  seen.finding_windows = {kStarved};
  EXPECT_EQ(judge(seen).outcome, Outcome::kBroken);
}

TEST(Judge, OneEvidenceThatStandsIsEnoughOnAStarvedHost) {
  Observation seen = good();
  seen.findings = {hang()};
  seen.finding_windows = {kStarved};
  seen.reports = {report("hung-task", "INFO: task hung in f"), report("warning", "WARNING in g")};
  seen.report_windows = {kStarved, {}};
  EXPECT_EQ(judge(seen).outcome, Outcome::kFound) << "a warning is right whatever the time";
  seen.reports[1] = report("nmi", "NMI in f");
  EXPECT_EQ(judge(seen).outcome, Outcome::kBroken) << "our own NMI is no evidence";
  seen.reports[1] = report("hung-task", "INFO: task hung in g");
  seen.report_windows[1] = kDeadlocked;
  EXPECT_EQ(judge(seen).outcome, Outcome::kFound) << "the second came when the guest had its time";
}

TEST(Judge, AnIdleCpuWhoseTimerDoesNotFireIsTheEmulators) {
  Observation seen = good();
  seen.findings = {hang()};
  seen.reports = {report("rcu-stall", "INFO: rcu detected stall in default_idle"),
                  report("hung-task", "INFO: task hung in __wait_rcu_gp")};
  // As 6.1 prints it.
  const std::string idle = "rcu: \t1-...!: (2 GPs behind) idle=76d8/0/0x0 softirq=11/13 fqs=1";
  const std::string timer = "rcu: \tPossible timer handling issue on cpu=1 timer-softirq=3\n";
  seen.reports[0].log = idle + " (false positive?)\n" + timer;
  const Verdict verdict = judge(seen);
  ASSERT_EQ(verdict.outcome, Outcome::kBroken);
  EXPECT_THAT(verdict.reason, HasSubstr("timer does not fire"));
  EXPECT_EQ(verdict.findings.size(), 3U) << "they are kept, unconfirmed";
  // A CPU that does not idle keeps its own timer from firing.
  seen.reports[0].log = idle + "\n" + timer;
  EXPECT_EQ(judge(seen).outcome, Outcome::kFound);
  seen.reports[0].log = idle + " (false positive?)\n";
  EXPECT_EQ(judge(seen).outcome, Outcome::kFound);
  seen.reports[0].log = idle + " (false positive?)\n" + timer;
  seen.reports[1] = report("warning", "WARNING in g");
  EXPECT_EQ(judge(seen).outcome, Outcome::kFound) << "a warning is right whatever the time";
  seen.reports.pop_back();
  seen.findings[0].kind = "corruption";
  EXPECT_EQ(judge(seen).outcome, Outcome::kFound);
}

TEST(Judge, SilenceOfAStarvedGuestIsBroken) {
  Observation seen = good();
  seen.end = TrialEnd::kSilent;
  seen.summary.reset();
  KernelReport nmi = report("nmi", "NMI in f");
  nmi.log = "NMI backtrace for cpu 1\nRIP: 0010:f+0x1f/0x500\n";
  seen.reports = {nmi};
  EXPECT_EQ(judge(seen).outcome, Outcome::kFound);
  seen.silence = kStarved;
  const Verdict verdict = judge(seen);
  EXPECT_EQ(verdict.outcome, Outcome::kBroken);
  EXPECT_THAT(verdict.reason, HasSubstr("host was too busy"));
  EXPECT_EQ(verdict.findings.size(), 1U);
  seen.silence = kSpinning;
  EXPECT_EQ(judge(seen).outcome, Outcome::kFound);
}

TEST(Judge, TheDeathOfPid1IsBrokenAndKeepsWhatWasSeen) {
  Observation seen = good();
  seen.end = TrialEnd::kCrashed;
  KernelReport panic = report("panic", "kernel panic: Attempted to kill init!");
  panic.log = "Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b\n";
  seen.reports = {panic};
  const Verdict verdict = judge(seen);
  EXPECT_EQ(verdict.outcome, Outcome::kBroken);
  EXPECT_EQ(verdict.findings.size(), 1U);
}

TEST(Judge, FloodIsBrokenUnlessTheKernelReportedSomething) {
  Observation seen = good();
  seen.end = TrialEnd::kConsoleFlood;
  EXPECT_EQ(judge(seen).outcome, Outcome::kBroken);
  seen.reports = {report("kernel-bug", "BUG: Bad page map")};
  EXPECT_EQ(judge(seen).outcome, Outcome::kFound);
}

TEST(Judge, MissingOrContradictingSummariesAreBroken) {
  for (const TrialEnd end : {TrialEnd::kPoweredOff, TrialEnd::kCrashed, TrialEnd::kOverran}) {
    Observation seen = good();
    seen.end = end;
    seen.summary.reset();
    EXPECT_EQ(judge(seen).outcome, Outcome::kBroken);
  }
  Observation seen = good();
  seen.summary->outcome = Outcome::kFound;
  EXPECT_THAT(judge(seen).reason, HasSubstr("never arrived"));
  seen = good();
  seen.summary->rounds = 0;
  EXPECT_THAT(judge(seen).reason, HasSubstr("not one round"));
  seen = good();
  seen.end = TrialEnd::kCrashed;
  EXPECT_EQ(judge(seen).outcome, Outcome::kBroken);
  seen = good();
  seen.end = TrialEnd::kNoPowerOff;
  EXPECT_THAT(judge(seen).reason, HasSubstr("did not power off"));
}

TEST(Judge, WideningWithoutEffectIsBroken) {
  Observation seen = good();
  seen.widening_asked = true;
  EXPECT_EQ(judge(seen).outcome, Outcome::kBroken);
  seen.summary->widener = {{"handle_userfault", 100, 0, 0}};
  EXPECT_EQ(judge(seen).outcome, Outcome::kBroken) << "hits alone are no delay";
  seen.summary->widener[0].effective = 1;
  EXPECT_EQ(judge(seen).outcome, Outcome::kPassed);
}

TEST(Judge, ABugSwitchThatIsNotOnIsBroken) {
  Observation seen = good();
  seen.bugs_asked = {"some-bug"};
  EXPECT_EQ(judge(seen).outcome, Outcome::kBroken);
  EXPECT_THAT(judge(seen).reason, HasSubstr("some-bug"));
  seen.summary->counters["bug-hits/some-bug"] = 0;
  EXPECT_EQ(judge(seen).outcome, Outcome::kPassed) << "on, and never hit: not found";
}

TEST(Judge, GuestsOwnBrokenAndSkippedKeepTheirReason) {
  for (const Outcome outcome : {Outcome::kBroken, Outcome::kSkipped}) {
    Observation seen = good();
    seen.summary->outcome = outcome;
    seen.summary->reason = "needs 2 nodes";
    EXPECT_EQ(judge(seen).outcome, outcome);
    EXPECT_EQ(judge(seen).reason, "needs 2 nodes");
  }
}

// A case may expect every kind that the console gives; these two lists are far apart.
TEST(FindingKinds, HoldEveryKindOfTheConsole) {
  const int last = static_cast<int>(ReportShape::kNmi);
  for (int shape = 0; shape <= last; ++shape) {
    const std::string_view kind = kind_of(static_cast<ReportShape>(shape));
    const bool no_finding = kind.empty() || kind == "oom" || kind == "nmi";
    EXPECT_NE(is_finding_kind(kind), no_finding) << "'" << kind << "' of shape " << shape;
  }
}

}  // namespace
}  // namespace mmquake
